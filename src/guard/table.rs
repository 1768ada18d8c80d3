//! A table that never grows, whatever is put into it.

use std::collections::TryReserveError;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::hash::Hashed;
use super::timestamp::Timestamp;

/// A set-associative table: a key has its place in one small set, and a new one
/// takes there the place of the entry that is worth least. So memory is fixed,
/// and a look costs the same in an empty table and under a flood.
///
/// Each set has a lock of its own, held for a handful of instructions.
pub(crate) struct Table<V> {
    sets: Box<[Mutex<Set<V>>]>,
}

/// What a table holds.
pub(crate) trait Entry: Copy + Default {
    /// How much it matters that this entry stays, compared with its
    /// neighbours. 0 says that a new one in its place would be no different.
    fn worth(&self, now: Timestamp) -> u64;

    /// Whether sources can be told apart: then the one that has most in a set
    /// makes room there, and not the others.
    const HAS_KIN: bool = false;

    /// How closely two entries are related. The entry whose sum over its set is
    /// greatest makes room.
    fn kinship(&self, _other: &Self) -> u64 {
        0
    }
}

/// The tags stand together, so that a look for one reads a single cache line.
#[derive(Clone, Copy, Default)]
struct Set<V> {
    /// 0 where nobody has been.
    tags: [u64; WAYS],
    values: [V; WAYS],
}

impl<V> Set<V> {
    fn find(&self, key: Hashed) -> Option<usize> {
        self.tags.iter().position(|tag| *tag == key.tag())
    }
}

impl<V: Entry> Table<V> {
    /// A table with room for at least this many entries, if there is memory for it.
    pub(crate) fn new(entries: usize) -> Result<Self, TryReserveError> {
        let count = sets_for(entries);
        let mut sets = Vec::new();
        sets.try_reserve_exact(count)?;
        sets.resize_with(count, || Mutex::new(Set::default()));
        Ok(Self { sets: sets.into() })
    }

    /// The memory that a table for so many entries takes, in bytes.
    #[cfg(test)]
    pub(crate) fn bytes(entries: usize) -> usize {
        sets_for(entries) * size_of::<Mutex<Set<V>>>()
    }

    /// Does something with the entry of this key. A key that has none gets one.
    pub(crate) fn enter<T>(&self, key: Hashed, now: Timestamp, act: impl FnOnce(&mut V) -> T) -> T {
        let mut set = self.set(key);
        let place = set
            .find(key)
            .unwrap_or_else(|| take_place(&mut set, key, V::default(), now));
        act(&mut set.values[place])
    }

    /// Puts an entry in; what this key had is updated with it.
    pub(crate) fn put(&self, key: Hashed, now: Timestamp, value: V, update: impl FnOnce(&mut V)) {
        let mut set = self.set(key);
        match set.find(key) {
            Some(place) => update(&mut set.values[place]),
            None => {
                take_place(&mut set, key, value, now);
            }
        }
    }

    /// Does something with the entry of this key, if it has one.
    pub(crate) fn find<T>(&self, key: Hashed, act: impl FnOnce(&mut V) -> T) -> Option<T> {
        let mut set = self.set(key);
        let place = set.find(key)?;
        Some(act(&mut set.values[place]))
    }

    fn set(&self, key: Hashed) -> MutexGuard<'_, Set<V>> {
        // A power of two of them, so these are the lower bits.
        let index = key.tag() as usize & (self.sets.len() - 1);
        self.sets[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> std::fmt::Debug for Table<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("entries", &(self.sets.len() * WAYS))
            .finish_non_exhaustive()
    }
}

/// Gives a newcomer an empty place, or that of the entry worth least.
fn take_place<V: Entry>(set: &mut Set<V>, key: Hashed, value: V, now: Timestamp) -> usize {
    let place = least_worth(set, &value, now);
    set.tags[place] = key.tag();
    set.values[place] = value;
    place
}

fn least_worth<V: Entry>(set: &Set<V>, newcomer: &V, now: Timestamp) -> usize {
    let mut least = ((u64::MAX, u64::MAX, u64::MAX), 0);
    for (place, value) in set.values.iter().enumerate() {
        if set.tags[place] == 0 {
            return place;
        }
        let worth = value.worth(now);
        let kin = if V::HAS_KIN {
            // The newcomer counts as one of its source: who has one entry
            // already takes none from those who have one, too.
            let everyone = set.values.iter().chain([newcomer]);
            everyone.map(|other| other.kinship(value)).sum()
        } else {
            0
        };
        least = least.min(((worth.min(1), u64::MAX - kin, worth), place));
    }
    least.1
}

fn sets_for(entries: usize) -> usize {
    entries.div_ceil(WAYS).next_power_of_two()
}

/// Refuses sizes that make no sense.
pub(super) fn check_entries(entries: usize) -> Result<(), String> {
    check_range(entries, 1..=MOST_ENTRIES, "a table of {} entries")
}

/// Refuses what is out of range; `what` has the value in place of `{}`.
pub(super) fn check_range<T: PartialOrd + Display>(
    value: T,
    range: RangeInclusive<T>,
    what: &str,
) -> Result<(), String> {
    if range.contains(&value) {
        return Ok(());
    }
    let what = what.replace("{}", &value.to_string());
    Err(format!("{what}; from {} to {}", range.start(), range.end()))
}

/// Entries of one set. With eight to choose from, the one that goes is rarely
/// missed; more would take more cache lines to look through.
const WAYS: usize = 8;
const MOST_ENTRIES: usize = 1 << 24;

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::guard::keys::Keys;

    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    struct Prize(u64);

    impl Entry for Prize {
        fn worth(&self, _now: Timestamp) -> u64 {
            self.0
        }
    }

    fn table(entries: usize) -> Table<Prize> {
        Table::new(entries).expect("memory for a table")
    }

    fn key(number: u32) -> Hashed {
        let [a, b, c, d] = number.to_be_bytes();
        Keys::new([3; Keys::BYTES])
            .table
            .peer(SocketAddr::from(([a, b, c, d], 9)))
    }

    const NOW: Timestamp = Timestamp::START;

    #[test]
    fn entries_are_kept_and_found() {
        let table = table(64);
        assert_eq!(table.find(key(1), |prize| *prize), None);
        table.enter(key(1), NOW, |prize| prize.0 = 7);
        assert_eq!(table.enter(key(1), NOW, |prize| prize.0), 7);
        assert_eq!(table.find(key(1), |prize| prize.0), Some(7));
        assert_eq!(table.find(key(2), |prize| *prize), None);
    }

    #[test]
    fn what_is_worth_most_survives_a_flood() {
        let table = table(64);
        for number in 0..8 {
            table.enter(key(number), NOW, |prize| prize.0 = 1_000);
        }
        for number in 100..100_000 {
            table.enter(key(number), NOW, |prize| prize.0 = 1);
        }
        for number in 0..8 {
            assert_eq!(table.find(key(number), |prize| prize.0), Some(1_000));
        }
    }

    #[test]
    fn no_flood_makes_it_grow() {
        for (entries, sets) in [(1, 1), (8, 1), (9, 2), (65_536, 8_192)] {
            assert_eq!(table(entries).sets.len(), sets, "{entries}");
        }
    }

    #[test]
    fn memory_that_cannot_be_had_is_an_error() {
        // More than any address space has room for.
        assert!(Table::<Prize>::new(1 << 56).is_err());
    }

    #[test]
    fn sizes_that_make_no_sense_are_refused() {
        assert!(check_entries(0).is_err());
        assert!(check_entries(1).is_ok());
        assert!(check_entries(MOST_ENTRIES + 1).is_err());
    }
}
