//! What the figures were measured on.

use std::fs;
use std::io;
use std::thread;

/// The system's load over the last minute: what else the machine had to do.
pub(crate) fn load_average() -> io::Result<String> {
    let all = fs::read_to_string("/proc/loadavg")?;
    Ok(all.split(' ').next().unwrap_or_default().to_owned())
}

/// In a few words: how many CPUs of which kind, and which kernel.
pub(crate) fn describe() -> io::Result<String> {
    let cpus = thread::available_parallelism()?;
    let model = model(&fs::read_to_string("/proc/cpuinfo")?);
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(format!(
        "{cpus} CPUs ({model}), Linux {}",
        version(release.trim())
    ))
}

/// The CPUs' name, without trade marks; not all architectures tell.
fn model(cpuinfo: &str) -> String {
    let line = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let name = line.and_then(|line| line.split_once(':'));
    match name {
        Some((_, name)) => name.trim().replace("(R)", "").replace("(TM)", ""),
        None => std::env::consts::ARCH.to_owned(),
    }
}

/// The first two numbers of a kernel release.
fn version(release: &str) -> String {
    let numbers: Vec<&str> = release.splitn(3, '.').take(2).collect();
    numbers.join(".")
}

#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "tests/load_generator runs them")]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_named_where_the_kernel_knows() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Processor\nflags\t: fpu\n";
        assert_eq!(model(cpuinfo), "Intel Xeon Processor");
        assert_eq!(model("processor\t: 0\n"), std::env::consts::ARCH);
    }

    #[test]
    fn kernel_is_named_by_two_numbers() {
        assert_eq!(version("6.18.44-fc-v669"), "6.18");
        assert_eq!(version("7.0"), "7.0");
    }

    #[test]
    fn this_machine_can_be_described() {
        let text = describe().expect("proc is mounted");
        assert!(text.contains("CPUs (") && text.contains("Linux "), "{text}");
        let load = load_average().expect("proc is mounted");
        assert!(load.parse::<f64>().is_ok(), "{load}");
    }
}
