//! Datagrams with bytes of their own, in order.

use std::mem::size_of;

use crate::sys::{Datagram, Meta};

#[derive(Debug, Default)]
pub(crate) struct OwnedDatagrams {
    bytes: Vec<u8>,
    items: Vec<Item>,
}

#[derive(Debug)]
struct Item {
    start: usize,
    /// Of the bytes; the sender's name stands behind them.
    len: u32,
    name_len: u8,
    meta: Meta,
    /// The panic of users' code over it.
    panic: Option<String>,
}

impl OwnedDatagrams {
    /// The memory that a datagram of `len` bytes takes here.
    pub(crate) fn size_for(len: usize) -> usize {
        len + size_of::<Item>()
    }

    /// The memory that its datagrams take.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + self.items.len() * size_of::<Item>()
    }

    /// The datagrams, first the one that came first, each with the panic of users'
    /// code over it, if there was one.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Datagram<'_>, Option<&str>)> {
        self.items.iter().map(|item| {
            let (bytes, rest) = self.bytes[item.start..].split_at(item.len as usize);
            let datagram = Datagram {
                bytes,
                meta: item.meta,
                name: &rest[..usize::from(item.name_len)],
            };
            (datagram, item.panic.as_deref())
        })
    }

    pub(crate) fn push(&mut self, datagram: &Datagram<'_>, panic: Option<String>) {
        self.items.push(Item {
            start: self.bytes.len(),
            len: datagram.bytes.len() as u32,
            name_len: datagram.name.len() as u8,
            meta: datagram.meta,
            panic,
        });
        self.bytes.extend_from_slice(datagram.bytes);
        self.bytes.extend_from_slice(datagram.name);
    }

    /// Throws them away, and the room for more than `kept` bytes with them.
    pub(crate) fn clear(&mut self, kept: usize) {
        self.bytes.clear();
        self.items.clear();
        if self.room() > kept {
            *self = Self::default();
        }
    }

    /// The memory that it holds.
    pub(crate) fn room(&self) -> usize {
        self.bytes.capacity() + self.items.capacity() * size_of::<Item>()
    }
}
