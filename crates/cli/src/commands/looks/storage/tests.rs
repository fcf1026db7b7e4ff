//! What the next process finds: all of it, and of a file that is damaged nothing that nobody has seen.

use std::{env, fs};

use super::*;
use crate::history::{
    Look, SPAN, Status, WINDOW, Written,
    seeds::{replay, seeds},
};

const SECOND: i64 = 1_000;
const INTERVAL: Duration = Duration::from_secs(5);
/// Noon of a day.
const NOON: i64 = 20_000 * DAY + DAY / 2;

/// A folder that ends with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("ottla-storage-{}-{name}", std::process::id()));
        _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn open(&self) -> Storage {
        let (storage, note) = Storage::open(&self.0, Duration::from_secs(7 * 86_400)).unwrap();
        assert_eq!(note, None);
        storage
    }

    fn file(&self) -> PathBuf {
        opening::file(&self.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// A log that grows by 50 a look, and a group `g` that has stood at 10 since the first.
#[derive(Default)]
struct Seen {
    at: i64,
    ends: Ends,
    looks: Looks,
    trends: BTreeMap<String, Trend>,
    end: i64,
}

impl Seen {
    fn looks(count: usize, from: i64) -> Self {
        let mut seen = Self { at: from, end: 100, ..Self::default() };
        for _ in 0..count {
            seen.look();
        }
        seen
    }

    fn look(&mut self) {
        (self.at, self.end) = (self.at + 5 * SECOND, self.end + 50);
        self.ends.saw(self.end, self.at);
        let end = Some(self.end);
        let lag = Some(self.end - 10);
        self.looks.saw(Look { committed: Some(10), begin: Some(0), end, lag, is_owned: true });
        let trend = self.trends.entry("g".to_owned()).or_insert_with(|| Trend::begin(self.at));
        trend.saw(self.at, lag, None);
    }

    fn save(&self, storage: &Storage) -> Result<(), Failure> {
        let at = TopicPartition::new("t", 0);
        let groups = [("g".to_owned(), [(at.clone(), self.looks.clone())].into())].into();
        let watch = Watch::again([(at, self.ends.clone())].into(), groups);
        let board = Board::new(INTERVAL);
        board.begin(self.trends.clone());
        let events = [("status".to_owned(), "{}".to_owned())];
        let cluster = Some("here");
        storage.save(&Now {
            at: self.at,
            interval: INTERVAL,
            cluster,
            watch: &watch,
            board: &board,
            events: &events,
        })
    }
}

fn before(storage: &Storage, now: i64) -> Before {
    storage.before(now, INTERVAL).unwrap()
}

fn status(before: &Before) -> Option<Status> {
    before.watch.status("g", &("t", 0).into())
}

fn written(before: &Before, offset: i64) -> Option<Written> {
    Some(before.watch.ends(&("t", 0).into())?.written(offset))
}

#[test]
fn what_was_kept_is_found_by_the_next_process() {
    let folder = Folder::new("found");
    let seen = Seen::looks(WINDOW + 20, NOON);
    seen.save(&folder.open()).unwrap();
    let storage = folder.open();
    let found = before(&storage, seen.at + 10 * SECOND);
    assert_eq!(status(&found), Some(Status::Stall), "the rules go on where they were");
    assert_eq!(written(&found, 160), Some(Written::At(NOON + 6 * SECOND)), "and so do time lags");
    let points: Vec<Point> = found.trends["g"].points().collect();
    assert_eq!(points.len(), WINDOW + 21, "each look, and the pause behind them");
    assert_eq!(points[0], Point { at: NOON + 5 * SECOND, lag: Some(140.0), age: None });
    assert_eq!(points.last().unwrap().lag, None);
    assert_eq!(found.events, [("status".to_owned(), "{}".to_owned())]);
    assert_eq!(storage.cluster().unwrap().as_deref(), Some("here"));
    assert_eq!(found.is_back, None);
}

#[test]
fn rules_count_no_pause_as_looks_and_time_lags_reach_over_it() {
    let folder = Folder::new("pause");
    let mut seen = Seen::looks(WINDOW + 20, NOON);
    seen.save(&folder.open()).unwrap();
    let storage = folder.open();
    let an_hour_on = before(&storage, seen.at + 3_600 * SECOND);
    assert_eq!(status(&an_hour_on), None, "nobody has seen that it stands");
    assert_eq!(written(&an_hour_on, 160), Some(Written::At(NOON + 6 * SECOND)));
    let other = storage.before(seen.at + SECOND, INTERVAL * 2).unwrap();
    assert_eq!(status(&other), None, "ten looks were another time");
    // What was written in the pause counts as written evenly.
    let (at, end) = (seen.at, seen.end);
    let mut ends = an_hour_on.watch.ends(&("t", 0).into()).unwrap().clone();
    ends.saw(end + 3_600, at + 3_600 * SECOND);
    assert_eq!(ends.written(end + 1_800), Written::At(at + 1_800 * SECOND));
    // The line goes on from there as any.
    seen.ends = ends;
    seen.at += 3_600 * SECOND;
    seen.end += 3_600;
    (0..200).for_each(|_| seen.look());
    assert_eq!(seen.ends.written(160), Written::At(NOON + 6 * SECOND));
}

#[test]
fn of_a_clock_that_was_put_back_what_lies_ahead_is_left_out() {
    let folder = Folder::new("back");
    let seen = Seen::looks(200, NOON);
    seen.save(&folder.open()).unwrap();
    let storage = folder.open();
    let now = NOON + 100 * SECOND;
    let found = before(&storage, now);
    assert_eq!(found.is_back, Some(900 * SECOND));
    assert_eq!((status(&found), written(&found, 160)), (None, None), "times of another clock");
    assert!(found.trends["g"].points().all(|point| point.at <= now + 100));
    assert!(storage.spans("g", now).unwrap().iter().all(|point| point.at <= now));
    // While it serves, too: what is seen from then on is told at once.
    let mut ends = seen.ends.clone();
    ends.saw(seen.end, NOON);
    ends.saw(seen.end + 10, NOON + 5 * SECOND);
    assert_eq!(ends.written(seen.end + 4), Written::At(NOON + 2 * SECOND));
    let mut trend = seen.trends["g"].clone();
    trend.saw(NOON + 50 * SECOND, Some(1), None);
    let points: Vec<Point> = trend.points().collect();
    assert!(points.is_sorted_by(|a, b| a.at <= b.at), "{points:?}");
    assert_eq!(points.last().unwrap().lag, Some(1.0));
}

/// As many looks as there are in two weeks, an hour apart in what is kept.
#[test]
fn a_week_is_kept_of_each_group_and_the_file_does_not_grow_beyond_it() {
    let folder = Folder::new("week");
    let storage = folder.open();
    let mut seen = Seen::looks(1, NOON);
    let mut sizes = Vec::new();
    for look in 0..14 * 288 {
        seen.at += SPAN - 5 * SECOND;
        seen.look();
        if look % 12 == 0 {
            seen.save(&storage).unwrap();
            sizes.push(storage.condition().bytes.unwrap());
        }
    }
    seen.save(&storage).unwrap();
    let spans = storage.spans("g", seen.at).unwrap();
    assert_eq!(spans.len(), 7 * 288, "one for each five minutes");
    assert!(spans.is_sorted_by(|a, b| a.at < b.at && b.at - a.at == SPAN));
    assert!(spans[0].at >= seen.at - 7 * DAY);
    let (week, two) = (sizes[sizes.len() / 2], *sizes.last().unwrap());
    assert!(two <= week, "{week} bytes after a week, {two} after two");
    let days = storage.database().unwrap().begin_read().unwrap().open_table(SPANS).unwrap().len().unwrap();
    assert_eq!(days, 8);
    // A group that is gone is not forgotten before the week is over, and then it is.
    seen.trends.clear();
    seen.save(&storage).unwrap();
    assert_eq!(storage.spans("g", seen.at).unwrap().len(), 7 * 288);
    // After so long a pause it is not known whose clock is right before a day has passed.
    for (days, left) in [(9, 8), (1, 0)] {
        seen.at += days * DAY;
        seen.save(&storage).unwrap();
        assert!(storage.spans("g", seen.at).unwrap().is_empty());
        let spans = storage.database().unwrap().begin_read().unwrap().open_table(SPANS).unwrap();
        assert_eq!(spans.len().unwrap(), left);
    }
}

/// As at the start of a machine that has the time from a network, and has none yet.
#[test]
fn a_clock_that_is_wrong_for_an_hour_costs_nothing_that_was_kept() {
    for wrong in [0, NOON - 30 * DAY, NOON + 40 * DAY, NOON + 3_650 * DAY] {
        let folder = Folder::new("wrong-clock");
        let storage = folder.open();
        let mut seen = Seen::looks(1, NOON);
        for _ in 0..12 {
            seen.at += DAY / 4;
            seen.look();
            seen.save(&storage).unwrap();
        }
        let (right, kept) = (seen.at, storage.spans("g", seen.at).unwrap());
        assert_eq!(kept.len(), 13);
        for at in [wrong, right + 3_600 * SECOND] {
            let mut seen = Seen::looks(0, at);
            for _ in 0..4 {
                seen.at += 900 * SECOND;
                seen.look();
                seen.save(&storage).unwrap();
            }
        }
        let spans = storage.spans("g", right + 7_300 * SECOND).unwrap();
        assert!(spans.starts_with(&kept), "{wrong}: {} of {} are left", spans.len(), kept.len());
    }
}

#[test]
fn a_span_that_two_processes_saw_has_the_largest_of_both() {
    let folder = Folder::new("span");
    let mut seen = Seen::looks(1, NOON);
    seen.save(&folder.open()).unwrap();
    seen.trends.clear();
    let mut trend = Trend::begin(NOON + 60 * SECOND);
    trend.saw(NOON + 60 * SECOND, Some(7), Some(3.0));
    seen.trends.insert("g".to_owned(), trend);
    seen.save(&folder.open()).unwrap();
    let spans = folder.open().spans("g", NOON + 120 * SECOND).unwrap();
    assert_eq!(spans, [Point { at: NOON, lag: Some(140.0), age: Some(3.0) }]);
}

#[test]
fn a_folder_has_one_process_at_a_time_and_the_error_says_so() {
    let folder = Folder::new("twice");
    let _open = folder.open();
    let error = Storage::open(&folder.0, INTERVAL).unwrap_err().to_string();
    assert!(error.contains("another process has it open"), "{error}");
}

#[test]
fn a_folder_that_is_none_and_a_file_of_another_version_are_refused_and_left_as_they_are() {
    let folder = Folder::new("refused");
    fs::write(&folder.0, "a file").unwrap();
    let error = Storage::open(&folder.0, INTERVAL).unwrap_err().to_string();
    assert!(error.contains(folder.0.to_str().unwrap()) && error.contains("can be written"), "{error}");
    fs::remove_file(&folder.0).unwrap();
    {
        let storage = folder.open();
        let transaction = storage.database().unwrap().begin_write().unwrap();
        transaction.open_table(META).unwrap().insert(FORMAT, 99_u32.to_le_bytes().as_slice()).unwrap();
        transaction.commit().unwrap();
    }
    let was = fs::read(folder.file()).unwrap();
    let error = Storage::open(&folder.0, INTERVAL).unwrap_err().to_string();
    assert!(error.contains("another version of ottla"), "{error}");
    assert_eq!(fs::read(folder.file()).unwrap().len(), was.len());
}

#[test]
fn what_is_no_history_is_put_aside_and_told() {
    let folder = Folder::new("aside");
    fs::create_dir_all(&folder.0).unwrap();
    fs::write(folder.file(), "x".repeat(100_000)).unwrap();
    let (storage, note) = Storage::open(&folder.0, INTERVAL).unwrap();
    assert!(note.unwrap().contains("history.redb.damaged"));
    assert!(Seen::looks(3, NOON).save(&storage).is_ok());
    let aside = || fs::read_to_string(folder.0.join("history.redb.damaged")).unwrap();
    assert_eq!(aside().len(), 100_000);
    // The next one does not take its place.
    drop(storage);
    fs::write(folder.file(), "y".repeat(50_000)).unwrap();
    let (_, note) = Storage::open(&folder.0, INTERVAL).unwrap();
    assert!(note.unwrap().contains("history.redb.damaged.1"));
    assert_eq!(aside().len(), 100_000);
    assert_eq!(fs::metadata(folder.0.join("history.redb.damaged.1")).unwrap().len(), 50_000);
}

/// What is in memory is written again, as far as it goes back.
#[test]
fn a_file_that_is_found_to_be_damaged_while_it_serves_begins_anew_with_what_is_in_memory() {
    let folder = Folder::new("anew");
    let storage = folder.open();
    let mut seen = Seen::looks(1, NOON);
    for _ in 0..20 {
        seen.at += SPAN - 5 * SECOND;
        seen.look();
    }
    seen.save(&storage).unwrap();
    let kept = storage.spans("g", seen.at).unwrap();
    storage.lock().database = None;
    fs::write(folder.file(), "x".repeat(100_000)).unwrap();
    seen.save(&storage).unwrap();
    assert_eq!((kept.len(), storage.spans("g", seen.at).unwrap()), (21, kept));
}

/// Bits that are flipped, and files that are cut: what opens has what was written, or nothing.
#[test]
fn a_file_that_is_damaged_anywhere_panics_nobody_and_tells_nothing_that_nobody_has_seen() {
    let folder = Folder::new("damaged");
    let seen = Seen::looks(300, NOON);
    seen.save(&folder.open()).unwrap();
    let good = fs::read(folder.file()).unwrap();
    let other = Folder::new("damaged-copy");
    for seed in seeds(60) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut bad = good.clone();
        match rng.u32(0..3) {
            0 => bad.truncate(rng.usize(..bad.len())),
            // Where there is something: most of a small file is empty.
            1 => {
                let used: Vec<usize> = (0..bad.len()).filter(|at| bad[*at] != 0).collect();
                bad[used[rng.usize(..used.len())]] ^= 1 << rng.u32(..8);
            }
            _ => bad[rng.usize(..512)] ^= 1 << rng.u32(..8),
        }
        _ = fs::remove_dir_all(&other.0);
        fs::create_dir_all(&other.0).unwrap();
        fs::write(other.file(), &bad).unwrap();
        let Ok((storage, _)) = Storage::open(&other.0, Duration::from_secs(7 * 86_400)) else { continue };
        let Ok(found) = storage.before(seen.at + SECOND, INTERVAL) else { continue };
        let lags = |points: &mut dyn Iterator<Item = Point>| -> Vec<Option<f32>> {
            points.map(|point| point.lag).filter(Option::is_some).collect()
        };
        if let Some(trend) = found.trends.get("g") {
            // The pause takes the place of one look.
            let expected: Vec<Option<f32>> = (45..300).map(|look| Some((140 + 50 * look) as f32)).collect();
            assert_eq!(lags(&mut trend.points()), expected, "{}", replay(seed));
        }
        assert!(seen.save(&storage).is_ok(), "it can be written: {}", replay(seed));
    }
}

/// Values by whoever: each part is bounded, and what follows of it overflows nothing.
#[test]
fn bytes_that_no_look_has_left_are_refused_or_do_no_harm() {
    let seen = Seen::looks(300, NOON);
    let kept = [seen.ends.kept(), seen.looks.kept(), seen.trends["g"].kept()];
    for seed in seeds(3_000) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut bytes = kept[rng.usize(..3)].clone();
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(..bytes.len());
            bytes[at] = *rng.choice(&[0, 1, 0x7f, 0x80, 0xff, at as u8]).unwrap();
        }
        bytes.truncate(rng.usize(bytes.len() / 2..=bytes.len()));
        if let Some(mut ends) = Ends::found(&bytes, i64::MAX) {
            for (end, at) in [(i64::MAX - 1, NOON), (i64::MAX, i64::MAX), (0, 0)] {
                ends.saw(end, at);
                _ = ends.written(7);
            }
        }
        if let Some(mut looks) = Looks::found(&bytes) {
            for committed in [0, i64::MAX] {
                let (end, lag) = (Some(i64::MAX), Some(i64::MAX - committed));
                looks.saw(Look { committed: Some(committed), begin: Some(0), end, lag, is_owned: true });
                _ = looks.status();
            }
        }
        if let Some(mut trend) = Trend::found(&bytes, seen.at) {
            trend.saw(seen.at + 5 * SECOND, Some(i64::MAX), None);
            assert!(trend.points().count() <= 512);
        }
        _ = Spans::found(&bytes).points(0).count();
    }
}
