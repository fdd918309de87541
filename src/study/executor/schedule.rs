//! Which stage is next.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::study::Graph;

/// The first pause before a stage that another process works on is looked at again; the next ones are longer.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The state of an execution: what is ready, what waits for inputs, what another process works on.
pub(super) struct Schedule {
    /// Ready nodes; those first that the most stages wait for, one after the other.
    ready: BTreeSet<(Reverse<usize>, usize)>,
    /// Ready nodes for which there was no room.
    parked: Vec<usize>,
    /// Nodes that another process was seen to work on.
    aside: BTreeMap<usize, Aside>,
    /// By node: its place among the wanted ones' longest ways to the end, the inputs it lacks, and who needs it.
    heights: Vec<usize>,
    lacking: Vec<usize>,
    users: Vec<Vec<usize>>,
    unfinished: usize,
}

struct Aside {
    /// When to look again; none while a worker looks.
    again: Option<Instant>,
    /// How long that was put off.
    pause: Duration,
}

/// What a worker is to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This node.
    Take(usize),
    /// Wait for a change, or until then.
    Wait(Option<Instant>),
    /// Nothing is left.
    Finished,
}

impl Schedule {
    /// Of the nodes in `wanted`, which holds every input of each of its nodes, in an order in which inputs come first.
    pub fn new(graph: &Graph, wanted: &[usize]) -> Self {
        let count = graph.nodes.len();
        let (mut heights, mut lacking, mut users) = (vec![0; count], vec![0; count], vec![Vec::new(); count]);
        for &index in wanted.iter().rev() {
            let inputs: BTreeSet<usize> = graph.nodes[index].needs.values().copied().collect();
            lacking[index] = inputs.len();
            for input in inputs {
                heights[input] = heights[input].max(heights[index] + 1);
                users[input].push(index);
            }
        }
        let ready = wanted.iter().filter(|&&index| lacking[index] == 0).map(|&index| (Reverse(heights[index]), index));
        let ready = ready.collect();
        Self { ready, parked: Vec::new(), aside: BTreeMap::new(), heights, lacking, users, unfinished: wanted.len() }
    }

    /// The next node.
    pub fn next(&mut self, now: Instant) -> Next {
        if self.unfinished == 0 {
            return Next::Finished;
        }
        if let Some((_, index)) = self.ready.pop_first() {
            return Next::Take(index);
        }
        let waiting = self.aside.iter_mut().filter(|(_, aside)| aside.again.is_some());
        match waiting.min_by_key(|(_, aside)| aside.again) {
            Some((&index, aside)) if aside.again.is_some_and(|again| again <= now) => {
                aside.again = None;
                Next::Take(index)
            }
            Some((_, aside)) => Next::Wait(aside.again),
            None => Next::Wait(None),
        }
    }

    /// Another process works on `index`: it is looked at again after a pause, the longer the more often this happened. Returns
    /// whether this is the first time.
    pub fn put_aside(&mut self, index: usize, now: Instant) -> bool {
        let before = self.aside.get(&index).map(|aside| aside.pause);
        let pause = before.map_or(PAUSE, |pause| (pause * 3 / 2).min(LONGEST_PAUSE));
        self.aside.insert(index, Aside { again: Some(now + pause), pause });
        before.is_none()
    }

    /// There is no room for `index`, until [`Self::unpark`].
    pub fn park(&mut self, index: usize) {
        self.parked.push(index);
    }

    /// There is room again.
    pub fn unpark(&mut self) {
        let heights = &self.heights;
        self.ready.extend(self.parked.drain(..).map(|index| (Reverse(heights[index]), index)));
    }

    /// The artifact of `index` is there.
    pub fn finish(&mut self, index: usize) {
        self.aside.remove(&index);
        self.unfinished -= 1;
        for user in std::mem::take(&mut self.users[index]) {
            self.lacking[user] -= 1;
            if self.lacking[user] == 0 {
                self.ready.insert((Reverse(self.heights[user]), user));
            }
        }
    }

    /// Nodes whose artifacts are not there yet.
    pub fn unfinished(&self) -> usize {
        self.unfinished
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::{Label, Node, Work};

    /// A graph in which each node needs those that are listed.
    fn graph(needs: &[&[usize]]) -> Graph {
        let node = |(index, needs): (usize, &&[usize])| Node {
            label: Label::Normalize(index.to_string()),
            work: Work::Tokenizer(()),
            needs: needs.iter().map(|need| (need.to_string(), *need)).collect(),
        };
        Graph { nodes: needs.iter().enumerate().map(node).collect(), cells: Vec::new() }
    }

    #[test]
    fn the_longest_way_goes_first_of_two_as_long_the_first() {
        let graph = graph(&[&[], &[], &[1], &[2], &[0, 3]]);
        let mut schedule = Schedule::new(&graph, &[0, 1, 2, 3, 4]);
        let now = Instant::now();
        let mut order = Vec::new();
        while let Next::Take(index) = schedule.next(now) {
            order.push(index);
            schedule.finish(index);
        }
        assert_eq!(order, [1, 2, 0, 3, 4]);
        assert_eq!(schedule.next(now), Next::Finished);
    }

    #[test]
    fn what_another_process_works_on_is_put_aside_and_something_else_is_taken() {
        let graph = graph(&[&[], &[], &[0, 1]]);
        let mut schedule = Schedule::new(&graph, &[0, 1, 2]);
        let now = Instant::now();
        assert_eq!(schedule.next(now), Next::Take(0));
        assert!(schedule.put_aside(0, now));
        assert_eq!(schedule.next(now), Next::Take(1));
        assert_eq!(schedule.next(now), Next::Wait(Some(now + PAUSE)));
        let later = now + PAUSE;
        assert_eq!(schedule.next(later), Next::Take(0));
        // In one worker's hands, it is offered to no other.
        assert_eq!(schedule.next(later + LONGEST_PAUSE), Next::Wait(None));
        assert!(!schedule.put_aside(0, later));
        assert_eq!(schedule.next(later), Next::Wait(Some(later + PAUSE * 3 / 2)));
        schedule.finish(1);
        assert_eq!(schedule.next(later + PAUSE * 3 / 2), Next::Take(0));
        schedule.finish(0);
        assert_eq!(schedule.next(later), Next::Take(2));
    }

    #[test]
    fn a_node_without_room_lets_others_pass() {
        let graph = graph(&[&[], &[], &[0]]);
        let mut schedule = Schedule::new(&graph, &[0, 1, 2]);
        let now = Instant::now();
        assert_eq!(schedule.next(now), Next::Take(0));
        schedule.park(0);
        assert_eq!(schedule.next(now), Next::Take(1));
        assert_eq!(schedule.next(now), Next::Wait(None));
        schedule.unpark();
        assert_eq!(schedule.next(now), Next::Take(0));
    }
}
