//! Batches that a broker refuses as too large: they go again in pieces, and nothing is told of the whole.

use std::task::{Context, Poll, Waker};

use super::*;
use crate::log::tests::told_while;

/// The size of a batch of so many records with a value of one letter.
const fn size_of(records: usize) -> usize {
    BatchHeader::SIZE + 8 * records
}

/// The log of a partition that takes batches up to a size, of one producer, as a broker would.
struct Log {
    limit: usize,
    values: Vec<String>,
    epoch: i16,
    next_sequence: i32,
    /// How many batches were refused as too large.
    refused: usize,
}

impl Log {
    /// Behind what [`World::known`] has written.
    fn known(limit: usize) -> Self {
        Self { limit, values: vec!["first".to_owned()], epoch: 0, next_sequence: 1, refused: 0 }
    }

    fn admit(&mut self, produced: &Produced) -> ErrorCode {
        let header = produced.header();
        if header.size() > self.limit {
            self.refused += 1;
            return ErrorCode::MessageTooLarge;
        }
        if header.producer_epoch > self.epoch {
            (self.epoch, self.next_sequence) = (header.producer_epoch, 0);
        }
        if header.base_sequence != self.next_sequence {
            return ErrorCode::OutOfOrderSequenceNumber;
        }
        self.next_sequence += header.record_count;
        self.values.extend(produced.values());
        ErrorCode::None
    }

    /// Answers what is sent, until nothing is.
    fn serve(&mut self, world: &mut World) {
        loop {
            world.pass(Duration::from_secs(1));
            if world.produced.is_empty() {
                return;
            }
            let (produced, base_offset) = (world.take(), self.values.len() as i64);
            match self.admit(&produced) {
                ErrorCode::None => world.acknowledge(&produced, base_offset),
                error => world.refuse(&produced, error),
            }
        }
    }
}

impl World {
    /// Sends records of one letter each, and lets their batch go out.
    fn send_batch(&mut self, values: &str) -> Vec<Ticket> {
        let tickets = values.chars().map(|value| self.send(&value.to_string())).collect();
        self.producer.flush();
        self.pump();
        tickets
    }

    /// Has a batch refused as too large, and returns the request that its first piece is in.
    fn refuse_batch(&mut self) -> Produced {
        let produced = self.take();
        self.refuse(&produced, ErrorCode::MessageTooLarge);
        self.take()
    }

    fn offsets(&mut self, tickets: &[Ticket]) -> Vec<Option<i64>> {
        tickets.iter().map(|ticket| self.offset(ticket)).collect()
    }

    fn failures(&mut self, tickets: &[Ticket]) -> Vec<Option<ErrorCode>> {
        let failure = |ticket: &Ticket| match ticket.result().expect("not decided") {
            Ok(_) => None,
            Err(SendFailure::Refused { error, .. }) => Some(error),
            Err(other) => panic!("{other}"),
        };
        tickets.iter().map(failure).collect()
    }
}

#[test]
fn a_batch_that_is_refused_as_too_large_goes_again_in_halves_and_each_record_has_its_offset() {
    let mut world = World::known(config());
    let tickets = world.send_batch("abcd");
    let first = world.refuse_batch();
    assert_eq!((first.values().concat(), first.header().base_sequence), ("ab".to_owned(), 1));
    assert!(world.produced.is_empty(), "what goes again goes alone");
    assert_eq!(world.producer.buffered(), 2 * size_of(2));
    world.acknowledge(&first, 7);
    assert_eq!(world.offsets(&tickets[..2]), [Some(7), Some(8)], "known before the other half is");
    assert!(world.result(&tickets[2]).is_none());
    let second = world.take();
    assert_eq!((second.values().concat(), second.header().base_sequence), ("cd".to_owned(), 3));
    world.acknowledge(&second, 20);
    assert_eq!(world.offsets(&tickets), [7, 8, 20, 21].map(Some));
    assert_eq!((world.producer.buffered(), world.producer.outcomes.kept()), (0, 0));
    assert!(world.producer.active.is_empty());
}

#[test]
fn a_half_that_is_refused_is_halved_again() {
    let mut world = World::known(config());
    let tickets = world.send_batch("abcdefgh");
    let mut log = Log::known(size_of(1));
    log.serve(&mut world);
    assert_eq!(log.values.concat(), "firstabcdefgh");
    assert_eq!(world.offsets(&tickets), (1..9).map(Some).collect::<Vec<_>>());
    // Of 8, 4 and 2 records. The rest is known not to be taken.
    assert_eq!(log.refused, 3);
}

#[test]
fn a_topic_that_takes_less_is_told_each_time_that_its_batches_become_smaller() {
    let mut world = World::known(config());
    _ = (world.send_batch("abcd"), world.send_batch("efgh"));
    let ((), told) = told_while(|| Log::known(size_of(1)).serve(&mut world));
    assert_eq!(
        told,
        ["INFO smaller batches topic=\"t\" limit=77", "INFO smaller batches topic=\"t\" limit=69"]
    );
}

#[test]
fn with_five_batches_on_their_way_the_order_is_kept_whichever_are_too_large() {
    for limit in [1, 2, 3, 5, 100] {
        let mut world = World::known(config());
        let batches = ["abcd", "e", "fghijk", "lm", "nopqr"];
        let tickets: Vec<_> = batches.iter().flat_map(|values| world.send_batch(values)).collect();
        assert_eq!(world.produced.len(), 5);
        let mut log = Log::known(size_of(limit));
        log.serve(&mut world);
        assert_eq!(log.values.concat(), format!("first{}", batches.concat()), "{limit} records at the most");
        assert_eq!(world.offsets(&tickets), (1..19).map(Some).collect::<Vec<_>>());
        assert_eq!(log.epoch, 0, "no sequence was broken");
        assert_eq!((world.producer.buffered(), world.producer.outcomes.kept()), (0, 0));
    }
}

#[test]
fn a_record_that_is_too_large_by_itself_fails_and_those_beside_it_are_delivered() {
    let mut world = World::known(config());
    let values = ["a", "b", "far too large", "c"];
    let tickets = values.map(|value| world.send(value));
    world.producer.flush();
    let mut log = Log::known(size_of(1));
    log.serve(&mut world);
    assert_eq!(log.values, ["first", "a", "b", "c"]);
    assert_eq!(world.failures(&tickets), [None, None, Some(ErrorCode::MessageTooLarge), None]);
    assert_eq!(world.offset(&tickets[3]), Some(3));
    assert_eq!(log.epoch, 1, "a number is missing");
    assert_eq!(world.producer.buffered(), 0);
}

#[test]
fn the_next_batches_of_the_topic_are_no_larger_than_half_of_what_was_refused() {
    let mut world = World::known(ProducerConfig { linger: Duration::from_secs(60), ..config() });
    _ = world.send_batch("abcdefgh");
    let mut log = Log::known(size_of(4));
    log.serve(&mut world);
    for value in "ijklmnop".chars() {
        _ = world.send(&value.to_string());
    }
    world.pump();
    assert_eq!(world.take().values().concat(), "ijkl", "it is full");
    world.topic_id = TopicId([8; 16]);
    world.producer.hub.metadata.request_update();
    world.pass(Duration::from_secs(1));
    _ = world.send_batch("q");
    let queue = &world.producer.queues[0];
    assert_eq!(world.producer.topics[queue.topic].max_batch, None, "a topic made anew may take more");
}

#[test]
fn batches_that_wait_are_split_before_they_are_sent() {
    let mut world = World::ready(config());
    // The first goes alone: it is not known to the broker who sends.
    let tickets: Vec<_> = ["abcd", "efgh"].iter().flat_map(|values| world.send_batch(values)).collect();
    world.send_batch("i");
    let mut log = Log { values: Vec::new(), next_sequence: 0, ..Log::known(size_of(2)) };
    log.serve(&mut world);
    assert_eq!((log.values.concat(), log.refused), ("abcdefghi".to_owned(), 1));
    assert_eq!(world.offsets(&tickets), (0..8).map(Some).collect::<Vec<_>>());
}

#[test]
fn failures_that_nobody_asks_for_count_as_many_records_as_failed() {
    let refused = |world: &mut World| {
        let first = world.refuse_batch();
        world.refuse(&first, ErrorCode::TopicAuthorizationFailed);
        world.pass(Duration::from_secs(1));
        let second = world.take();
        assert_eq!(world.producer.take_unclaimed(), None, "not all is known");
        world.acknowledge(&second, 1);
    };
    let mut world = World::known(config());
    let tickets = world.send_batch("abcd");
    tickets.iter().for_each(|ticket| world.producer.release(ticket));
    refused(&mut world);
    assert_eq!(world.producer.take_unclaimed().map(|unclaimed| unclaimed.count), Some(2));

    let mut world = World::known(config());
    let tickets = world.send_batch("abcd");
    world.producer.release(&tickets[0]);
    refused(&mut world);
    assert_eq!(
        world.producer.take_unclaimed().map(|unclaimed| unclaimed.count),
        Some(1),
        "no more than released"
    );
    world.producer.release(&tickets[2]);
    assert_eq!(world.producer.take_unclaimed(), None, "it is delivered");
    world.producer.release(&tickets[1]);
    assert_eq!(world.producer.take_unclaimed().map(|unclaimed| unclaimed.count), Some(1));
}

#[test]
fn a_half_that_then_fails_takes_nothing_with_it() {
    let mut world = World::known(config());
    let flush = world.producer.flush();
    let tickets = world.send_batch("abcd");
    let later = world.producer.flush();
    let first = world.refuse_batch();
    world.refuse(&first, ErrorCode::InvalidRecord);
    assert!(world.producer.is_flushed(flush) && !world.producer.is_flushed(later));
    world.pass(Duration::from_secs(1));
    let second = world.take();
    assert_eq!((second.values().concat(), second.header().base_sequence), ("cd".to_owned(), 0));
    assert_eq!(second.header().producer_epoch, 1, "the first half left a gap");
    world.acknowledge(&second, 1);
    assert!(world.producer.is_flushed(later));
    let invalid = Some(ErrorCode::InvalidRecord);
    assert_eq!(world.failures(&tickets), [invalid, invalid, None, None]);
}

#[test]
fn pieces_are_renumbered_where_the_epoch_is_raised_in_between() {
    let mut world = World::known(config());
    let _late = world.send_out("x");
    let tickets = world.send_batch("abcd");
    let (x, batch) = (world.take(), world.take());
    world.refuse(&batch, ErrorCode::MessageTooLarge);
    world.refuse(&x, ErrorCode::InvalidRecord);
    world.pass(Duration::from_secs(1));
    for (values, sequence, offset) in [("ab", 0, 1), ("cd", 2, 3)] {
        let piece = world.take();
        let header = piece.header();
        assert_eq!(
            (piece.values().concat().as_str(), header.producer_epoch, header.base_sequence),
            (values, 1, sequence)
        );
        world.acknowledge(&piece, offset);
    }
    assert_eq!(world.offsets(&tickets), [1, 2, 3, 4].map(Some));
}

#[test]
fn a_batch_of_a_transaction_is_split_within_it() {
    for level in [1, 2] {
        let mut world = World::transactional(level);
        let transaction = world.begin();
        let tickets = ["a", "b", "c", "d"].map(|value| world.send_in(transaction, value).unwrap());
        assert_eq!(world.commit(transaction), None);
        let first = world.refuse_batch();
        world.acknowledge(&first, 0);
        assert_eq!(world.ended(transaction), None, "half of it is not delivered");
        let second = world.take();
        assert!(first.header().is_transactional() && second.header().is_transactional());
        assert_eq!(second.header().base_sequence, 2);
        world.acknowledge(&second, 2);
        assert_eq!(world.ended(transaction), Some(Ok(End::Commit)));
        assert_eq!(world.offsets(&tickets), [0, 1, 2, 3].map(Some));
    }
}

#[test]
fn an_abort_drops_the_pieces_that_wait() {
    let mut world = World::transactional(2);
    let transaction = world.begin();
    let tickets = ["a", "b", "c", "d"].map(|value| world.send_in(transaction, value).unwrap());
    world.producer.flush();
    world.pump();
    let first = world.refuse_batch();
    world.producer.abort(transaction);
    world.pump();
    assert_eq!(world.result(&tickets[2]), Some(Err(SendFailure::Aborted)));
    world.acknowledge(&first, 0);
    assert_eq!(world.offset(&tickets[1]), Some(1));
    assert_eq!(world.ended(transaction), Some(Ok(End::Abort)));
    assert_eq!((world.producer.buffered(), world.producer.outcomes.kept()), (0, 0));
}

#[test]
fn a_split_is_no_retry() {
    for idempotent in [true, false] {
        let mut world = World::ready(ProducerConfig { retries: 0, idempotent, ..config() });
        let tickets = world.send_batch("abcd");
        let first = world.refuse_batch();
        let again = {
            world.refuse(&first, ErrorCode::MessageTooLarge);
            world.take()
        };
        assert_eq!(again.values(), ["a"]);
        world.acknowledge(&again, 0);
        let second = world.take();
        world.refuse(&second, ErrorCode::NotEnoughReplicas);
        assert!(matches!(
            world.result(&tickets[1]),
            Some(Err(SendFailure::RetriesExhausted { attempts: 1, .. }))
        ));
    }
}

#[test]
fn the_time_for_delivery_counts_from_the_first_record_of_the_batch() {
    let mut world = World::known(ProducerConfig { delivery_timeout: Duration::from_secs(5), ..config() });
    let tickets = world.send_batch("abcd");
    world.pass(Duration::from_secs(3));
    let _unanswered = world.refuse_batch();
    world.pass(Duration::from_secs(2));
    for ticket in &tickets {
        assert!(matches!(world.result(ticket), Some(Err(SendFailure::DeliveryTimeout { .. }))));
    }
}

#[test]
fn a_batch_that_was_given_up_before_it_is_refused_is_not_split() {
    let mut world = World::known(ProducerConfig { delivery_timeout: Duration::from_secs(5), ..config() });
    _ = world.send_batch("abcd");
    world.pass(Duration::from_secs(6));
    let late = world.take();
    world.refuse(&late, ErrorCode::MessageTooLarge);
    world.pass(Duration::from_secs(1));
    assert!(world.produced.is_empty());
    let ticket = world.send_out("e");
    let next = world.take();
    world.acknowledge(&next, 1);
    assert_eq!(world.offset(&ticket), Some(1));
}

#[test]
fn each_piece_is_told_with_its_records_and_their_offsets() {
    let mut world = World::known(ProducerConfig { tells_decided: true, ..config() });
    _ = world.producer.take_decided();
    _ = world.send_batch("abcd");
    let mut told = Vec::new();
    for offset in [5, 9] {
        let piece = if offset == 5 { world.refuse_batch() } else { world.take() };
        world.acknowledge(&piece, offset);
        for piece in world.producer.take_decided() {
            told.extend(piece.records().map(|(record, delivered)| {
                (String::from_utf8_lossy(record.value.unwrap()).into_owned(), delivered.unwrap().offset)
            }));
        }
    }
    let expected = [("a", 5), ("b", 6), ("c", 9), ("d", 10)];
    assert_eq!(told, expected.map(|(value, offset)| (value.to_owned(), Some(offset))));
}

#[test]
fn who_awaits_a_record_is_woken_when_its_piece_is_known() {
    let mut world = World::known(config());
    let tickets = world.send_batch("abcd");
    let context = Context::from_waker(Waker::noop());
    let mut places = [None; 4];
    for (ticket, place) in tickets.iter().zip(&mut places) {
        assert!(ticket.poll_result(place, &context).is_pending());
    }
    let first = world.refuse_batch();
    assert_eq!(world.producer.take_wakers().len(), 0);
    world.acknowledge(&first, 1);
    assert_eq!(world.producer.take_wakers().len(), 2, "not those of the other half");
    assert!(tickets[3].poll_result(&mut places[3], &context).is_pending());
    let second = world.take();
    world.acknowledge(&second, 3);
    assert_eq!(world.producer.take_wakers().len(), 2, "each once");
    for (ticket, place) in tickets.iter().zip(&mut places) {
        assert!(matches!(ticket.poll_result(place, &context), Poll::Ready(Ok(_))));
    }
}

#[test]
fn a_batch_whose_answer_was_lost_is_split_once_it_is_refused_and_not_before() {
    let mut world = World::known(config());
    let tickets = world.send_batch("abcd");
    let lost = world.take();
    world.producer.topics[0].max_batch = Some(size_of(2));
    world.producer.handle_disconnected(lost.conn, Disconnected::Closed, world.now);
    world.pass(Duration::from_secs(2));
    let again = world.take();
    assert_eq!(again.header(), lost.header(), "the broker knows what it has by its sequence numbers");
    world.refuse(&again, ErrorCode::MessageTooLarge);
    for (values, offset) in [("ab", 1), ("cd", 3)] {
        let piece = world.take();
        assert_eq!(piece.values().concat(), values);
        world.acknowledge(&piece, offset);
    }
    assert_eq!(world.offsets(&tickets), [1, 2, 3, 4].map(Some));
}

#[test]
fn pieces_of_a_batch_that_is_in_the_log_as_a_whole_are_not_appended_once_more() {
    let mut world = World::known(config());
    let tickets = world.send_batch("abcd");
    let lost = world.take();
    world.producer.handle_disconnected(lost.conn, Disconnected::Closed, world.now);
    world.pass(Duration::from_secs(2));
    // The batch was appended, and the topic's limit lowered since.
    let first = world.refuse_batch();
    world.refuse(&first, ErrorCode::OutOfOrderSequenceNumber);
    world.pass(Duration::from_secs(2));
    assert!(world.produced.is_empty());
    let doubt = Some(ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(world.failures(&tickets), [doubt; 4]);
    _ = world.send_out("e");
    assert_eq!((world.take().header().producer_epoch, world.producer.outcomes.kept()), (1, 1));
}
