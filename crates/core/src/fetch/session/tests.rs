use super::*;

fn asked(partition: i32, offset: i64) -> Arc<Asked> {
    let at = Arc::new(TopicPartition::new("t", partition));
    let (topic_id, epoch) = (TopicId([1; 16]), LaneEpoch(0));
    Arc::new(Asked { at, topic_id, epoch, offset, offset_epoch: None, leader_epoch: 0, served: None })
}

fn wanted(list: &[(i32, i64)]) -> BTreeMap<PartIdx, Arc<Asked>> {
    list.iter().map(|(partition, offset)| (PartIdx(*partition as u32), asked(*partition, *offset))).collect()
}

/// The next request of a session whose partitions may all have changed.
fn next(session: &mut Session, wanted: BTreeMap<PartIdx, Arc<Asked>>) -> (Vec<Arc<Asked>>, Vec<Arc<Asked>>) {
    session.next(&wanted, &mut (0..2).map(PartIdx).collect(), usize::MAX, true)
}

fn opened() -> Session {
    let mut session = Session::default();
    next(&mut session, wanted(&[(0, 0), (1, 0)]));
    session.answered(ErrorCode::None, 7);
    session
}

#[test]
fn the_first_request_is_full_and_the_next_names_what_moved() {
    let mut session = opened();
    assert_eq!((session.id(), session.epoch()), (7, 1));
    let (named, forgotten) = next(&mut session, wanted(&[(0, 10), (1, 0)]));
    assert_eq!((named, forgotten), (vec![asked(0, 10)], vec![]));
}

#[test]
fn what_is_no_longer_wanted_is_forgotten() {
    let (named, forgotten) = next(&mut opened(), wanted(&[(1, 0)]));
    assert_eq!((named, forgotten), (vec![], vec![asked(0, 0)]));
}

#[test]
fn an_unknown_session_starts_afresh() {
    let mut session = opened();
    next(&mut session, wanted(&[(0, 0)]));
    session.answered(ErrorCode::FetchSessionIdNotFound, 0);
    assert_eq!((session.id(), session.epoch()), (0, 0));
    assert_eq!(next(&mut session, wanted(&[(0, 0)])).0.len(), 1);
}

#[test]
fn after_any_other_session_error_the_old_id_is_closed_by_a_full_request() {
    for error in [ErrorCode::InvalidFetchSessionEpoch, ErrorCode::FetchSessionTopicIdError] {
        let mut session = opened();
        session.answered(error, 0);
        assert_eq!((session.id(), session.epoch()), (7, 0));
    }
}

#[test]
fn after_a_disconnect_every_partition_is_named_again() {
    let mut session = opened();
    session.disconnected();
    assert_eq!((session.id(), session.epoch()), (7, 0));
    assert_eq!(next(&mut session, wanted(&[(0, 0), (1, 0)])).0.len(), 2);
}

#[test]
fn a_topic_made_anew_is_forgotten_by_its_old_id() {
    let mut session = opened();
    let mut anew = wanted(&[(0, 0), (1, 0)]);
    for asked in anew.values_mut() {
        Arc::make_mut(asked).topic_id = TopicId([2; 16]);
    }
    let (named, forgotten) = next(&mut session, anew);
    assert_eq!((named.len(), forgotten.len()), (2, 2));
    assert!(forgotten.iter().all(|asked| asked.topic_id == TopicId([1; 16])));
}

#[test]
fn an_answer_is_found_by_the_name_or_id_that_was_asked_by_last() {
    let mut session = opened();
    let mut anew = wanted(&[(0, 0), (1, 0)]);
    anew.values_mut().for_each(|asked| Arc::make_mut(asked).topic_id = TopicId([2; 16]));
    next(&mut session, anew);
    assert_eq!(session.find(TopicId([1; 16]), "t", 0), None);
    assert_eq!(session.find(TopicId([2; 16]), "", 1).map(|(part, _)| part), Some(PartIdx(1)));
    let wanted = wanted(&[(1, 0)]);
    session.next(&wanted, &mut BTreeSet::from([PartIdx(0)]), usize::MAX, false);
    let found = [0, 1].map(|partition| session.find(TopicId::ZERO, "t", partition).map(|(part, _)| part));
    assert_eq!(found, [None, Some(PartIdx(1))]);
}

#[test]
fn very_many_join_a_session_over_several_requests_and_who_is_in_it_waits_for_none_of_them() {
    let mut session = Session::default();
    let mut many = wanted(&(0..10).map(|partition| (partition, 0)).collect::<Vec<_>>());
    let mut changed: BTreeSet<PartIdx> = many.keys().copied().collect();
    for (number, of) in [0..1, 1..5, 5..9, 9..10].into_iter().enumerate() {
        if number == 3 {
            many.insert(PartIdx(0), asked(0, 7));
            changed.insert(PartIdx(0));
        }
        let (named, forgotten) = session.next(&many, &mut changed, 1, true);
        let named: Vec<i32> = named.iter().map(|asked| asked.at.partition).collect();
        let moved = (number == 3).then_some(0);
        assert_eq!((named, forgotten), (moved.into_iter().chain(of.clone()).collect(), vec![]));
        assert!(changed.iter().copied().eq((of.end as u32..10).map(PartIdx)), "{changed:?}");
        session.answered(ErrorCode::None, 7);
    }
    session.disconnected();
    assert_eq!(session.next(&many, &mut changed, 1, true).0.len(), 10, "all at once, where it is begun anew");
}

#[test]
fn those_that_were_served_last_join_a_session_last() {
    let mut session = opened();
    let mut many = wanted(&(0..10).map(|partition| (partition, 0)).collect::<Vec<_>>());
    for (partition, asked) in many.iter_mut().skip(2).take(5) {
        Arc::make_mut(asked).served = NonZeroU64::new(10 - u64::from(partition.0));
    }
    let mut changed = many.keys().copied().collect();
    let mut joins = || {
        let (named, _) = session.next(&many, &mut changed, 1, true);
        session.answered(ErrorCode::None, 7);
        named.iter().map(|asked| asked.at.partition).collect::<BTreeSet<i32>>()
    };
    assert_eq!([joins(), joins()], [BTreeSet::from([6, 7, 8, 9]), BTreeSet::from([2, 3, 4, 5])]);
}

#[test]
fn a_broker_that_opens_no_session_is_asked_for_some_once_and_then_for_all() {
    let (mut session, wanted) = (Session::default(), wanted(&[(0, 0), (1, 0)]));
    for (count, left) in [(1, vec![PartIdx(1)]), (2, vec![]), (2, vec![])] {
        let mut changed = wanted.keys().copied().collect();
        assert_eq!(session.next(&wanted, &mut changed, 1, true).0.len(), count);
        assert_eq!(changed.into_iter().collect::<Vec<_>>(), left);
        session.answered(ErrorCode::None, 0);
    }
}
