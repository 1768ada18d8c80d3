//! Addresses of Unix sockets.

use std::fmt::{self, Write};
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;

/// The address of a Unix datagram socket: a path, a name in Linux's abstract
/// namespace, or none.
///
/// A client that has not called `bind` is unnamed: its datagrams are received, and
/// nothing can be sent to it. Each address is copied where it is used, 109 bytes; none
/// is allocated.
///
/// # Examples
/// ```
/// use socketserver::unix::UnixAddr;
///
/// let addr = UnixAddr::new("/run/app.sock").unwrap();
/// assert_eq!(addr.as_pathname(), Some(std::path::Path::new("/run/app.sock")));
/// assert_eq!(addr.to_string(), "/run/app.sock");
/// assert!(UnixAddr::UNNAMED.is_unnamed());
/// ```
#[derive(Clone, Copy)]
pub struct UnixAddr {
    len: u8,
    bytes: [u8; UnixAddr::MOST],
}

impl UnixAddr {
    /// The longest name there is, in bytes: Linux's `sun_path` (unix(7)). Other
    /// systems have some bytes less.
    pub(crate) const MOST: usize = 108;

    /// That of a socket without a name.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(socketserver::unix::UnixAddr::UNNAMED.to_string(), "(unnamed)");
    /// ```
    pub const UNNAMED: Self = Self {
        len: 0,
        bytes: [0; Self::MOST],
    };

    /// A name as the kernel writes it: none, a path, or a zero byte and an abstract
    /// name. What is longer than any name is cut off.
    pub(crate) fn from_name(name: &[u8]) -> Self {
        let len = name.len().min(Self::MOST);
        let mut bytes = [0; Self::MOST];
        bytes[..len].copy_from_slice(&name[..len]);
        Self {
            len: len as u8,
            bytes,
        }
    }

    pub(crate) fn name(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Whether it is that of a socket without a name.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::unix::UnixAddr;
    /// assert!(!UnixAddr::new("client.sock").unwrap().is_unnamed());
    /// ```
    pub fn is_unnamed(&self) -> bool {
        self.len == 0
    }

    /// The name in the abstract namespace, without the zero byte before it; `None`
    /// if it is none.
    ///
    /// # Examples
    /// ```
    /// # use socketserver::unix::UnixAddr;
    /// # #[cfg(target_os = "linux")]
    /// assert_eq!(UnixAddr::new("\0app").unwrap().as_abstract_name(), Some(&b"app"[..]));
    /// assert_eq!(UnixAddr::new("app").unwrap().as_abstract_name(), None);
    /// ```
    pub fn as_abstract_name(&self) -> Option<&[u8]> {
        self.name().strip_prefix(b"\0")
    }
}

#[cfg(unix)]
mod paths {
    use std::ffi::OsStr;
    use std::io;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::SocketAddr;
    use std::path::Path;

    use socket2::SockAddr;

    use super::UnixAddr;

    impl UnixAddr {
        /// The address that this path is. On Linux, what begins with a zero byte is a
        /// name in the abstract namespace, as in Python, and has no file.
        ///
        /// # Errors
        /// [`InvalidInput`](io::ErrorKind::InvalidInput) for an empty path, for one
        /// with a zero byte in it, and for one of more than 107 bytes (on other
        /// systems than Linux, 103).
        ///
        /// # Examples
        /// ```
        /// # use socketserver::unix::UnixAddr;
        /// assert!(UnixAddr::new("/run/app.sock").is_ok());
        /// assert!(UnixAddr::new("x".repeat(200)).is_err());
        /// ```
        pub fn new(path: impl AsRef<Path>) -> io::Result<Self> {
            let name = path.as_ref().as_os_str().as_bytes();
            let refuse =
                |problem: String| Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
            let is_abstract = name.first() == Some(&0);
            let most = match is_abstract {
                true => SUN_PATH,
                false => SUN_PATH - 1,
            };
            if name.is_empty() {
                refuse("the path is empty".to_owned())
            } else if is_abstract && !HAS_ABSTRACT {
                refuse("this system has no abstract names".to_owned())
            } else if !is_abstract && name.contains(&0) {
                refuse("the path contains a zero byte".to_owned())
            } else if name.len() > most {
                let len = name.len();
                refuse(format!(
                    "the path has {len} bytes; a socket's has at most {most}"
                ))
            } else {
                Ok(Self::from_name(name))
            }
        }

        /// The path, if it is one.
        ///
        /// # Examples
        /// ```
        /// # use socketserver::unix::UnixAddr;
        /// # use std::path::Path;
        /// let addr = UnixAddr::new("client.sock").unwrap();
        /// assert_eq!(addr.as_pathname(), Some(Path::new("client.sock")));
        /// ```
        pub fn as_pathname(&self) -> Option<&Path> {
            let is_path = !self.is_unnamed() && self.as_abstract_name().is_none();
            is_path.then(|| self.as_ref())
        }

        /// As system calls take it.
        pub(in crate::sys) fn for_system(&self) -> io::Result<SockAddr> {
            SockAddr::unix(self)
        }

        /// As system calls return it.
        pub(in crate::sys) fn from_system(addr: &SockAddr) -> Self {
            match (addr.as_pathname(), addr.as_abstract_namespace()) {
                (Some(path), _) => Self::from_name(path.as_os_str().as_bytes()),
                (None, Some(name)) => Self::from_abstract(name),
                (None, None) => Self::UNNAMED,
            }
        }

        fn from_abstract(name: &[u8]) -> Self {
            Self::from_name(&[b"\0", name].concat())
        }
    }

    /// The path, or the abstract name behind a zero byte: what
    /// [`new`](UnixAddr::new) takes.
    impl AsRef<Path> for UnixAddr {
        fn as_ref(&self) -> &Path {
            Path::new(OsStr::from_bytes(self.name()))
        }
    }

    /// That of a socket of the standard library.
    impl From<&SocketAddr> for UnixAddr {
        fn from(addr: &SocketAddr) -> Self {
            if let Some(path) = addr.as_pathname() {
                return Self::from_name(path.as_os_str().as_bytes());
            }
            #[cfg(any(target_os = "linux", target_os = "android"))]
            {
                #[cfg(target_os = "android")]
                use std::os::android::net::SocketAddrExt;
                #[cfg(target_os = "linux")]
                use std::os::linux::net::SocketAddrExt;

                if let Some(name) = addr.as_abstract_name() {
                    return Self::from_abstract(name);
                }
            }
            Self::UNNAMED
        }
    }

    /// The room for a path, its closing zero byte included.
    const SUN_PATH: usize =
        size_of::<libc::sockaddr_un>() - std::mem::offset_of!(libc::sockaddr_un, sun_path);

    const HAS_ABSTRACT: bool = cfg!(any(target_os = "linux", target_os = "android"));
}

impl PartialEq for UnixAddr {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for UnixAddr {}

impl Hash for UnixAddr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

/// The path, `@` and an abstract name, or `(unnamed)`. Control characters are escaped:
/// clients choose their names, and must not write lines of a log.
impl fmt::Display for UnixAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_abstract_name() {
            _ if self.is_unnamed() => f.write_str("(unnamed)"),
            Some(name) => write!(f, "@{}", name.escape_ascii()),
            None => {
                let path = String::from_utf8_lossy(self.name());
                path.chars().try_for_each(|char| match char.is_control() {
                    true => write!(f, "{}", char.escape_default()),
                    false => f.write_char(char),
                })
            }
        }
    }
}

impl fmt::Debug for UnixAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a socket is bound to, as lines in the log name it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LocalName<'a> {
    Ip(SocketAddr),
    Unix(&'a UnixAddr),
}

impl fmt::Display for LocalName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(addr) => addr.fmt(f),
            Self::Unix(addr) => addr.fmt(f),
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_from_a_path_and_from_none() {
        let path = UnixAddr::from_name(b"/run/a");
        let name = UnixAddr::from_name(b"\0/run/a");
        assert_eq!(path.to_string(), "/run/a");
        assert_eq!(name.to_string(), "@/run/a");
        let forged = UnixAddr::from_name(b"/run/\xc3\xa9\nERROR");
        assert_eq!(forged.to_string(), "/run/\u{e9}\\nERROR", "one line");
        assert_ne!(path, name);
        assert_eq!(path.as_abstract_name(), None);
        assert_eq!(name.as_abstract_name(), Some(&b"/run/a"[..]));
        assert_eq!(name.as_pathname(), None);
        assert_eq!(UnixAddr::UNNAMED.as_pathname(), None);
        assert_eq!(UnixAddr::from_name(b""), UnixAddr::UNNAMED);
    }

    #[test]
    fn what_is_no_address_is_refused_in_words() {
        let problem = |path: &str| UnixAddr::new(path).unwrap_err().to_string();
        assert_eq!(problem(""), "the path is empty");
        assert_eq!(problem("a\0b"), "the path contains a zero byte");
        let long = problem(&"x".repeat(108));
        assert!(long.starts_with("the path has 108 bytes; "), "{long}");
    }

    #[test]
    fn addresses_survive_the_way_through_the_system() {
        for text in ["/run/a", "relative", "\0abstract \0 name"] {
            if let Ok(addr) = UnixAddr::new(text) {
                let raw = addr.for_system().expect("it is valid");
                assert_eq!(UnixAddr::from_system(&raw), addr, "{text:?}");
            }
        }
    }
}
