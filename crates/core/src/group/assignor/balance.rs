//! How many partitions of which topics each member gets, so that loads are even and few partitions move.
//!
//! Topics with the same subscribers are one [`Class`], and only numbers count here: which member keeps which partition
//! is decided later. Two numbers are minimized: first the sum of the squares of the members' loads (no assignment
//! is more even), and second the number of claimed partitions that their claimers do not keep. That is a flow of
//! minimal cost from classes to members, with convex costs. Such a flow is the best as soon as no round of
//! hand-overs makes it better (no cycle of negative cost). Simple rules come close; the search for such rounds does
//! the rest and proves the result.

#![expect(
    clippy::indexing_slicing,
    reason = "every index is a place in a list made here, which does not shrink"
)]

use std::collections::BTreeSet;

/// The partitions that the same members may have.
pub(super) struct Class {
    pub(super) partitions: i64,
    pub(super) seats: Vec<Seat>,
}

/// One member's place in a class: how many of its partitions the member claims, and how many it gets.
pub(super) struct Seat {
    pub(super) member: usize,
    pub(super) claimed: i64,
    pub(super) count: i64,
}

impl Seat {
    /// How many more partitions move if this seat gives one away.
    fn loss(&self) -> i64 {
        i64::from(self.count <= self.claimed)
    }

    /// How many fewer partitions move if this seat gets one more.
    fn gain(&self) -> i64 {
        i64::from(self.count < self.claimed)
    }
}

/// Sets the seats' counts. Claims are at most the class's partitions, seats are ordered by member, and members are
/// numbered from 0.
pub(super) fn balance(classes: &mut [Class], members: usize) {
    let mut balance = Balance { classes, loads: vec![0; members] };
    balance.keep_claims();
    balance.deal_out();
    balance.level();
    while let Some(round) = balance.better_round() {
        balance.hand_over(&round);
    }
}

/// A seat in a queue: the load of its member, by how much its count is above its claims, and its place in the class.
type Turn = (i64, i64, usize);

struct Balance<'a> {
    classes: &'a mut [Class],
    loads: Vec<i64>,
}

impl Balance<'_> {
    fn keep_claims(&mut self) {
        for seat in self.classes.iter_mut().flat_map(|class| &mut class.seats) {
            seat.count = seat.claimed;
            self.loads[seat.member] += seat.claimed;
        }
    }

    /// Deals out the partitions that nobody claims, each to the least loaded member; classes with the fewest takers
    /// come first.
    fn deal_out(&mut self) {
        let mut order: Vec<usize> = (0..self.classes.len()).collect();
        order.sort_by_key(|&class| self.classes[class].seats.len());
        for class in order {
            let claimed: i64 = self.classes[class].seats.iter().map(|seat| seat.claimed).sum();
            let mut queue = self.queue(class);
            for _ in claimed..self.classes[class].partitions {
                let Some((_, _, taker)) = queue.pop_first() else { break };
                queue.insert(self.change(class, taker, 1));
            }
        }
    }

    /// Within each class, moves partitions from the most to the least loaded member while their loads differ by
    /// more than one.
    fn level(&mut self) {
        let mut changed = true;
        while changed {
            changed = false;
            for class in 0..self.classes.len() {
                let mut queue = self.queue(class);
                while let (Some(low), Some(high)) = (queue.pop_first(), queue.pop_last())
                    && low.0 + 1 < high.0
                {
                    let (taker, giver) = (low.2, high.2);
                    if self.classes[class].seats[giver].count == 0 {
                        // This member is loaded with partitions of other classes: it has none to give here.
                        queue.insert(low);
                        continue;
                    }
                    queue.insert(self.change(class, taker, 1));
                    queue.insert(self.change(class, giver, -1));
                    changed = true;
                }
            }
        }
    }

    /// The seats of a class, the next to take first, the next to give last.
    fn queue(&self, class: usize) -> BTreeSet<Turn> {
        (0..self.classes[class].seats.len()).map(|at| self.turn(class, at)).collect()
    }

    fn turn(&self, class: usize, at: usize) -> Turn {
        let seat = &self.classes[class].seats[at];
        (self.loads[seat.member], seat.count - seat.claimed, at)
    }

    fn change(&mut self, class: usize, at: usize, by: i64) -> Turn {
        let seat = &mut self.classes[class].seats[at];
        seat.count += by;
        self.loads[seat.member] += by;
        self.turn(class, at)
    }

    /// A round of hand-overs that makes the whole better, if there is one: a negative cycle, by Bellman and Ford.
    ///
    /// An edge from a member to a class is a partition given away, one from a class to a member is one taken. The hub
    /// lies between members whose load changes: an edge from it is a load that falls, one to it is a load that rises.
    fn better_round(&self) -> Option<Vec<usize>> {
        let classes = self.loads.len();
        let hub = classes + self.classes.len();
        // More than the moves of any round, as evenness comes before moves.
        let unit = 2 * (hub as i64 + 1);
        let mut search = Search { costs: vec![0; hub + 1], from: vec![None; hub + 1], better: false };
        loop {
            search.better = false;
            for (member, load) in self.loads.iter().enumerate() {
                search.relax(hub, member, (1 - 2 * load) * unit);
            }
            for (class, Class { seats, .. }) in self.classes.iter().enumerate() {
                let class = classes + class;
                for seat in seats.iter().filter(|seat| seat.count > 0) {
                    search.relax(seat.member, class, seat.loss());
                }
                for seat in seats {
                    search.relax(class, seat.member, -seat.gain());
                }
            }
            for (member, load) in self.loads.iter().enumerate() {
                search.relax(member, hub, (1 + 2 * load) * unit);
            }
            if !search.better {
                return None;
            }
            if let Some(round) = search.cycle() {
                return Some(round);
            }
        }
    }

    /// Moves one partition along each edge of the round.
    fn hand_over(&mut self, round: &[usize]) {
        let members = self.loads.len();
        for (&from, &to) in round.iter().zip(round.iter().cycle().skip(1)) {
            let (member, node, by) = if from < members { (from, to, -1) } else { (to, from, 1) };
            // An edge at the hub changes nothing by itself: the member's other edge does.
            let Some(class) = self.classes.get(node - members) else { continue };
            if let Ok(at) = class.seats.binary_search_by_key(&member, |seat| seat.member) {
                self.change(node - members, at, by);
            }
        }
    }
}

/// The cheapest ways found so far to each node, from anywhere.
struct Search {
    costs: Vec<i64>,
    from: Vec<Option<usize>>,
    better: bool,
}

impl Search {
    fn relax(&mut self, from: usize, to: usize, cost: i64) {
        let cost = self.costs[from] + cost;
        if cost < self.costs[to] {
            self.costs[to] = cost;
            self.from[to] = Some(from);
            self.better = true;
        }
    }

    /// A cycle among the ways, if there is one. Its cost is negative.
    fn cycle(&self) -> Option<Vec<usize>> {
        let mut seen_from = vec![None; self.from.len()];
        for start in 0..self.from.len() {
            let mut node = start;
            while seen_from[node].is_none() {
                seen_from[node] = Some(start);
                let Some(before) = self.from[node] else { break };
                node = before;
                if seen_from[node] == Some(start) {
                    return Some(self.round(node));
                }
            }
        }
        None
    }

    fn round(&self, start: usize) -> Vec<usize> {
        let mut round = vec![start];
        let mut node = start;
        while let Some(before) = self.from[node].filter(|&before| before != start) {
            round.push(before);
            node = before;
        }
        round.reverse();
        round
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::assignor::tests::seeded;

    /// Classes from their partitions and, for each seat, member and claims.
    fn classes(classes: &[(i64, &[(usize, i64)])]) -> Vec<Class> {
        let seat = |&(member, claimed): &(usize, i64)| Seat { member, claimed, count: 0 };
        let class = |(partitions, seats): &(i64, &[(usize, i64)])| Class {
            partitions: *partitions,
            seats: seats.iter().map(seat).collect(),
        };
        classes.iter().map(class).collect()
    }

    fn loads(classes: &[Class], members: usize) -> Vec<i64> {
        let mut loads = vec![0; members];
        classes.iter().flat_map(|class| &class.seats).for_each(|seat| loads[seat.member] += seat.count);
        loads
    }

    fn score(classes: &[Class], members: usize) -> (i64, i64) {
        let lost = |seat: &Seat| (seat.claimed - seat.count).max(0);
        let moves = classes.iter().flat_map(|class| &class.seats).map(lost).sum();
        (loads(classes, members).iter().map(|load| load * load).sum(), moves)
    }

    #[test]
    fn a_load_travels_over_a_member_in_between() {
        let mut classes = classes(&[(4, &[(0, 4), (1, 0)]), (2, &[(1, 2), (2, 0)]), (0, &[(2, 0)])]);
        balance(&mut classes, 3);
        assert_eq!(loads(&classes, 3), [2, 2, 2]);
    }

    #[test]
    fn with_equal_loads_the_claims_decide() {
        let mut classes = classes(&[(1, &[(0, 0), (1, 0), (2, 1)]), (1, &[(0, 1), (1, 0)])]);
        balance(&mut classes, 3);
        assert_eq!((score(&classes, 3), loads(&classes, 3)), ((2, 0), vec![1, 0, 1]));
    }

    /// The best score of any way to fill the seats from the given one on.
    fn best(classes: &mut [Class], class: usize, seat: usize, left: i64, members: usize) -> (i64, i64) {
        let Some(seats) = classes.get(class).map(|class| class.seats.len()) else {
            return score(classes, members);
        };
        if seat + 1 == seats {
            classes[class].seats[seat].count = left;
            let left = classes.get(class + 1).map_or(0, |class| class.partitions);
            return best(classes, class + 1, 0, left, members);
        }
        let counts = 0..=left;
        let with = |count| {
            classes[class].seats[seat].count = count;
            best(classes, class, seat + 1, left - count, members)
        };
        counts.map(with).min().unwrap()
    }

    #[test]
    fn nothing_is_better_than_what_all_ways_tried_out_have() {
        seeded("nothing_is_better_than_what_all_ways_tried_out_have", 2_000, |rng| {
            let members = rng.usize(1..=4);
            let mut classes = Vec::new();
            for _ in 0..rng.usize(1..=4) {
                let mut takers: Vec<usize> = (0..members).filter(|_| rng.bool()).collect();
                if takers.is_empty() {
                    takers.push(rng.usize(..members));
                }
                let partitions = rng.i64(0..=5);
                let mut free = partitions;
                let mut seat = |member| {
                    let claimed = rng.i64(0..=free);
                    free -= claimed;
                    Seat { member, claimed, count: 0 }
                };
                let seats = takers.into_iter().map(&mut seat).collect();
                classes.push(Class { partitions, seats });
            }
            balance(&mut classes, members);
            let (got, first) = (score(&classes, members), classes[0].partitions);
            for class in &classes {
                assert_eq!(class.seats.iter().map(|seat| seat.count).sum::<i64>(), class.partitions);
            }
            assert_eq!(got, best(&mut classes, 0, 0, first, members));
        });
    }
}
