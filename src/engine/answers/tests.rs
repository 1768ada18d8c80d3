//! The two queues in turn, as many threads would use them.

use std::collections::HashSet;

use super::*;

impl Queue for Vec<usize> {
    fn is_empty(&self) -> bool {
        Vec::is_empty(self)
    }
}

/// Threads that answer once each. A transition is what one does under the lock.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    queues: Queues<Vec<usize>>,
    threads: [Place; 4],
    sent: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Place {
    Begins,
    Sends(Vec<usize>),
    HasReturned,
}

impl World {
    /// The thread's next transition.
    fn step(&mut self, thread: usize) {
        match std::mem::replace(&mut self.threads[thread], Place::HasReturned) {
            Place::Begins => self.queues.filling.push(thread),
            Place::Sends(mut sending) => {
                self.sent.append(&mut sending);
                self.queues.put_back(sending);
            }
            Place::HasReturned => return,
        }
        if let Some(sending) = self.queues.take() {
            self.threads[thread] = Place::Sends(sending);
        }
    }
}

/// Every interleaving of the transitions.
#[test]
fn model_what_is_queued_is_always_somebodys_and_one_sends_at_a_time() {
    let queues = Queues {
        filling: Vec::new(),
        spare: Some(Vec::new()),
    };
    let mut to_visit = vec![World {
        queues,
        threads: [const { Place::Begins }; 4],
        sent: Vec::new(),
    }];
    let mut seen = HashSet::new();
    while let Some(world) = to_visit.pop() {
        let sends = |place: &&Place| matches!(place, Place::Sends(_));
        let sending = world.threads.iter().filter(sends).count();
        assert!(sending <= 1, "{world:?}");
        assert_eq!(world.queues.are_idle(), sending == 0, "{world:?}");
        if world
            .threads
            .iter()
            .all(|place| *place == Place::HasReturned)
        {
            let mut sent = world.sent.clone();
            sent.sort_unstable();
            assert_eq!(sent, [0, 1, 2, 3], "each once: {world:?}");
        }
        for thread in 0..world.threads.len() {
            let mut next = world.clone();
            next.step(thread);
            if seen.insert(next.clone()) {
                to_visit.push(next);
            }
        }
    }
    assert!(seen.len() > 100, "{} states", seen.len());
}
