//! Groups that commit now and then, made up: who keeps up is never told to fall behind, and who falls behind is.

use super::{
    seeds::{replay, seeds},
    *,
};

/// A log and a group that reads it, look by look.
struct Run {
    seed: u64,
    rng: fastrand::Rng,
    looks: Looks,
    /// The ends of the log at the looks so far, the last one last.
    ends: Vec<i64>,
    committed: i64,
    told: Vec<Option<Status>>,
}

impl Run {
    /// Of a log that ends there.
    fn new(seed: u64, end: i64) -> Self {
        let (rng, looks, told) = (fastrand::Rng::with_seed(seed), Looks::default(), Vec::new());
        Self { seed, rng, looks, ends: vec![end], committed: 0, told }
    }

    fn end(&self) -> i64 {
        *self.ends.last().unwrap()
    }

    fn written(&mut self, records: i64) {
        self.ends.push(self.end() + records);
    }

    fn look(&mut self) -> Option<Status> {
        let (committed, end) = (Some(self.committed), Some(self.end()));
        let lag = Some(self.end() - self.committed);
        self.looks.saw(Look { committed, begin: Some(0), end, lag, is_owned: true });
        let status = self.looks.status();
        self.told.push(status);
        status
    }

    /// That it is never told to fall behind.
    fn keeps_up(&self, what: &str) {
        let worse = self.told.iter().position(|status| *status > Some(Status::Ok));
        let (ends, behind) = (&self.ends, self.end() - self.committed);
        assert_eq!(worse, None, "{what}: {:?} {behind} {ends:?}; {}", self.told, replay(self.seed));
    }
}

/// Every so many looks it commits what it had read: all that was there some looks before. What is written comes in bursts, and by and
/// by becomes much more, or much less.
#[test]
fn who_commits_now_and_then_and_reads_as_soon_as_ever_is_never_told_to_fall_behind() {
    for seed in seeds(500) {
        let mut run = Run::new(seed, 1_000);
        let (every, phase) = (run.rng.i64(1..=9), run.rng.i64(0..9));
        let late = if run.rng.bool() { run.rng.usize(0..=6) } else { run.rng.usize(7..=60) };
        // Evenly until it is known how late it is.
        let (evenly, mut most) = (late as i64 + 15, 100);
        let write = |run: &mut Run, look: i64, most: i64| {
            let records = if look < evenly { most } else { run.rng.i64(1..=most) };
            run.written(records);
        };
        (0..=late).for_each(|_| write(&mut run, 0, most));
        for look in 0..evenly + 200 {
            if look > evenly && run.rng.u32(0..20) == 0 {
                most = run.rng.i64(10..10_000);
            }
            write(&mut run, look, most);
            if (look + phase) % every == 0 || look == 0 {
                run.committed = run.ends[run.ends.len() - 1 - late];
            }
            run.look();
        }
        run.keeps_up(&format!("every {every} looks, {late} looks late"));
    }
}

/// Whoever looks comes sooner or later after the commit: the time between two is no whole number of looks.
#[test]
fn who_commits_at_other_times_than_it_is_looked_is_never_told_to_fall_behind() {
    for seed in seeds(500) {
        let mut run = Run::new(seed, 0);
        let (rate, lag) = (run.rng.i64(1..2_000), run.rng.i64(0..50_000));
        // In tenths of a look.
        let (every, phase) = (run.rng.i64(10..=90), run.rng.i64(0..90));
        run.ends = vec![lag + 100 * rate];
        for look in 0..200 {
            run.written(rate);
            let last = ((look * 10 + phase) / every * every - phase).max(-1_000);
            run.committed = 100 * rate + last * rate / 10;
            run.look();
        }
        run.keeps_up(&format!("every {every} tenths of a look, {lag} behind, {rate} a look"));
    }
}

/// By 1 % of its lag a look or more.
#[test]
fn who_falls_behind_is_told_from_the_second_commit_on_and_no_more_once_it_catches_up() {
    for seed in seeds(500) {
        let mut run = Run::new(seed, 0);
        let rate = run.rng.i64(100..1_000);
        let (times, noise) = (run.rng.i64(30..=90), run.rng.i64(0..=rate / 10));
        let (every, phase) = (run.rng.i64(1..=9), run.rng.i64(0..9));
        // It reads none or some of what is written.
        let grows = run.rng.i64(rate * times / 100..=rate).max(rate * times / 100 + 1);
        run.ends = vec![rate * times];
        let (mut read, mut commits, mut is_told) = (0, 0, false);
        // It has committed before somebody looks for the first time.
        for look in -9..60 {
            let written = rate + run.rng.i64(-noise..=noise);
            run.written(written);
            // A log's lag is what it grows by.
            read += (rate - grows).max(1);
            if (look + 9 + phase) % every == 0 {
                run.committed = read;
                commits += i32::from(look > 0);
            }
            if look < 0 {
                continue;
            }
            let told = run.look();
            let what = format!(
                "{told:?}: {rate} a look, {times} times that behind, {grows} more each look, every {every}"
            );
            if look + 1 >= WINDOW as i64 && commits >= 2 {
                assert_eq!(told, Some(Status::Warn), "look {look}: {what}; {}", replay(seed));
                is_told = true;
            }
        }
        assert!(is_told);
        // It reads twice what is written, and more than it fell behind.
        for _ in 0..2 {
            for _ in 0..every * 9 {
                run.written(rate);
                read += rate * 2;
                if (run.ends.len() as i64 + phase) % every == 0 {
                    run.committed = read.min(run.end());
                }
                run.look();
            }
        }
        assert_eq!(run.told.last(), Some(&Some(Status::Ok)), "{:?}; {}", run.told, replay(seed));
    }
}

/// What is written comes evenly: however small the lag and what it grows by.
#[test]
fn a_lag_that_grows_by_little_is_told_where_it_never_falls() {
    for (lag, rate, read) in [(20, 10, 9), (40, 100, 95), (5_000, 1_000, 950), (2_000, 100, 80)] {
        let mut run = Run::new(0, 0);
        run.ends = vec![lag];
        for _ in 0..100 {
            run.written(rate);
            run.committed += read;
            run.look();
        }
        let (last, first) =
            (run.told.last().unwrap(), run.told.iter().position(|it| *it == Some(Status::Warn)));
        assert_eq!(*last, Some(Status::Warn), "{lag} {rate} {read}: {:?}", run.told);
        assert!(first.is_some_and(|look| look < 60), "{lag} {rate} {read}: {first:?}");
    }
}

/// However small a part of the lag that is: it is a tenth of a percent a look.
#[test]
fn what_is_far_behind_and_hardly_more_from_look_to_look_is_told_once_it_is_more_than_a_look_further() {
    let mut run = Run::new(0, 0);
    run.ends = vec![100_000];
    for look in 0..100 {
        run.written(1_000);
        run.committed += 900;
        let expected = if look < 11 { Status::Ok } else { Status::Warn };
        let told = run.look().unwrap_or(Status::Ok);
        assert_eq!(told, expected, "look {look}: {:?}", run.told);
    }
}

#[test]
fn who_reads_less_than_is_written_is_told_for_as_long_as_it_does() {
    for read in [950, 900, 800, 500, 100, 10] {
        let mut run = Run::new(0, 0);
        for look in 0..1_000 {
            run.written(1_000);
            run.committed += read;
            let told = run.look();
            assert!(look < 43 || told == Some(Status::Warn), "{read} of 1,000, look {look}: {told:?}");
        }
    }
}

/// It reads 90 % or less of what is written, for ever; and then twice as much as is written.
#[test]
fn who_falls_behind_is_told_within_64_looks_and_never_otherwise_until_it_catches_up() {
    for seed in seeds(500) {
        let mut run = Run::new(seed, 0);
        let rate = run.rng.i64(100..10_000);
        let (part, noise) = (run.rng.i64(0..=90), run.rng.i64(0..=rate / 10));
        let (every, phase) = (run.rng.i64(1..=9), run.rng.i64(0..9));
        run.ends = vec![rate * run.rng.i64(0..100)];
        let (mut read, mut since) = (0, 0);
        let what = format!("{part} % of {rate} a look, {noise} more or less, every {every}");
        for look in 0..2_500 {
            let catches_up = look >= 1_000;
            let written = rate + run.rng.i64(-noise..=noise);
            run.written(written);
            read = run.end().min(read + if catches_up { rate * 2 } else { (rate * part / 100).max(1) });
            if (look + phase) % every == 0 {
                run.committed = read;
                since += i64::from(catches_up);
            }
            let told = run.look();
            let expected = match look {
                64..1_000 => Status::Warn,
                // A commit that leaves more than a look's less than the most that was left.
                1_000.. if since * every > 4 + every => Status::Ok,
                _ => continue,
            };
            assert_eq!(told, Some(expected), "look {look}: {what}; {}", replay(seed));
        }
    }
}

/// A group that waits with each record, as with those that are tried again later. What is written comes evenly, more and more.
#[test]
fn who_is_as_late_as_ever_while_ever_more_is_written_is_not_told_to_fall_behind() {
    for seed in seeds(500) {
        let mut run = Run::new(seed, 0);
        let (every, phase) = (run.rng.i64(1..=9), run.rng.i64(0..9));
        let late = if run.rng.bool() { run.rng.usize(1..=60) } else { run.rng.usize(61..=200) };
        let (mut rate, faster) = (run.rng.i64(1_000..10_000) as f64, 1.0 + run.rng.f64() / 100.0);
        // Before 64 looks it is known about alone: evenly until it is known at all.
        let begins = run.rng.usize(0..200) + if late > 60 { late } else { 0 };
        (0..=late).for_each(|_| run.written(rate as i64));
        for look in 0..600 {
            if look >= begins {
                rate *= faster;
            }
            run.written(rate as i64);
            if (look as i64 + phase) % every == 0 || look == 0 {
                run.committed = run.ends[run.ends.len() - 1 - late];
            }
            run.look();
            // Until it was seen when the records of two lows were written.
            if look < late + 8 + 2 * every as usize {
                run.told.pop();
            }
        }
        run.keeps_up(&format!("every {every} looks, {late} looks late, {faster} times from {begins} on"));
    }
}

/// What was left before it stood tells nothing of what it leaves now.
#[test]
fn who_catches_up_after_it_stood_for_long_is_not_told_to_fall_behind() {
    for seed in seeds(500) {
        let mut run = Run::new(seed, 0);
        let rate = run.rng.i64(100..1_000);
        let (every, stands) = (run.rng.i64(1..=9), run.rng.i64(75..400));
        let faster = rate * run.rng.i64(110..300) / 100;
        run.ends = vec![rate * run.rng.i64(1..30)];
        let mut read = 0;
        for look in 0..200 + stands {
            run.written(rate);
            let stood = look >= 100 + stands;
            read += if look < 100 {
                rate
            } else if stood {
                faster
            } else {
                0
            };
            if look % every == 0 {
                run.committed = read.min(run.end());
            }
            let told = run.look();
            // A commit of right after it stopped leaves more than those before.
            let is_wrong = told == Some(Status::Warn) && (look < 100 || stood);
            assert!(
                !is_wrong,
                "look {look}: every {every}, {faster} of {rate} after {stands}; {}",
                replay(seed)
            );
        }
    }
}
