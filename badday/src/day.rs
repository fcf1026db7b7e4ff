//! The day, from the first start to the last end.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, atomic::AtomicBool, atomic::Ordering},
    time::{Duration, Instant},
};

use ottla::admin::NewTopic;
use ottla_conformance::kafka::{Certificates, Cluster, Java};

use crate::{
    cast::{Actor, Clock, Spec, Stage},
    company::{LEDGER, OF_LEDGER, OF_ORDERS, ORDERS, TOPICS, company, config},
    faults::{CLIENT_RECOVERY, Faults},
    judge::{Judge, Log, Scope, Topic},
    leaks::Samples,
    plan::{Plan, Targets},
    report::{Day, Report},
    scene::{Failure, SETTLE, Scene, runtime},
    starved,
    tether::Tether,
};

/// How often processes are measured.
const MEASURE: Duration = Duration::from_secs(5);

/// How often what is done with is deleted.
const CLEAN: Duration = Duration::from_secs(30);

/// What is asked for.
pub(crate) struct Asked {
    pub(crate) seed: u64,
    pub(crate) lasts: Duration,
    pub(crate) dir: PathBuf,
    pub(crate) faketime: PathBuf,
}

pub(crate) fn live(asked: &Asked) -> Result<Report, Failure> {
    // Fetched now, and not when brokers are upgraded to it.
    Java::get()?;
    let certificates = Certificates::make("bad-day")?;
    let cluster = Cluster::start_4_3(config(&certificates))?;
    println!("three brokers run");
    let runtime = runtime()?;
    let mut orders = Log::new("orders", false, ORDERS, &OF_ORDERS);
    orders.grow(ORDERS);
    let judge = Judge::new(orders, Log::new("ledger", true, LEDGER, &OF_LEDGER));
    let stage = Arc::new(Stage {
        judge: Mutex::new(judge),
        dir: asked.dir.clone(),
        faketime: asked.faketime.clone(),
        samples: Mutex::new(Samples::default()),
        tether: Tether::new()?,
    });
    for clock in [Clock::Wall, Clock::Both] {
        stage.set_clock(clock, 0)?;
    }
    let specs = company(&cluster, &certificates)?;
    let places = |of: &dyn Fn(&Spec) -> bool| -> Vec<usize> {
        specs.iter().enumerate().filter(|(_, spec)| of(spec)).map(|(place, _)| place).collect()
    };
    let killed = places(&|spec| !spec.is_kept);
    let stopped = places(&|_| true);
    let plan = Plan::draw(asked.seed, asked.lasts, Targets { killed: &killed, stopped: &stopped, nodes: 3 });
    let actors = specs.into_iter().map(|spec| Mutex::new(Actor::new(spec, &stage))).collect();
    let [is_over, is_called_off] = [AtomicBool::new(false), AtomicBool::new(false)];
    let scene = Scene { cluster, certificates, stage, actors, is_over, is_called_off };
    runtime.block_on(async {
        let admin = scene.admin().await?;
        for (name, partitions) in TOPICS {
            let topic = NewTopic::new(name).partitions(partitions as i32).replication_factor(3);
            admin.create_topic(topic).await?;
            scene.cluster.wait_for_topic(name)?;
        }
        admin.close().await;
        Ok::<_, Failure>(())
    })?;
    let shade = scene.stage.judge().shades.begin(Scope::All, "the start", Instant::now());
    for mut actor in scene.each() {
        actor.start()?;
    }
    scene.stage.judge().shades.end(shade, Instant::now(), CLIENT_RECOVERY);
    println!("{} actors run", scene.actors.len());
    let began = Instant::now();
    let faults = Faults::new(&scene, began);
    let lived = std::thread::scope(|scope| {
        let scene = &scene;
        let lanes = [
            scope.spawn(|| faults.of_clients(&plan)),
            scope.spawn(|| faults.of_cluster(&plan)), //
        ];
        let books = scope.spawn(|| keep_books(scene));
        let watch = scope.spawn(|| starved::watch(scene));
        let heeds = scope.spawn(|| scene.heed_signals());
        let lived = look_on(scene, began, asked.lasts, &lanes);
        scene.is_over.store(true, Ordering::Relaxed);
        for lane in lanes {
            lane.join().map_err(|_| "a lane of faults has panicked")??;
        }
        let starved = watch.join().map_err(|_| "the watch has panicked")?;
        books.join().map_err(|_| "who keeps the books has panicked")??;
        heeds.join().map_err(|_| "who heeds signals has panicked")??;
        lived.map(|()| starved)
    });
    let starved = lived?;
    for node in scene.cluster.node_ids() {
        std::fs::write(asked.dir.join(format!("broker-{node}.log")), scene.cluster.log(node))?;
    }
    let mut judge = scene.stage.judge();
    judge.close(Instant::now());
    let day = Day { seed: asked.seed, lasted: began.elapsed(), starved, faults: faults.done() };
    Ok(Report::new(day, began, &judge, scene.stage.samples().verdicts()))
}

/// Looks at all for so long, and ends it in good order.
fn look_on(
    scene: &Scene,
    began: Instant,
    lasts: Duration,
    lanes: &[std::thread::ScopedJoinHandle<'_, Result<(), Failure>>],
) -> Result<(), Failure> {
    let (mut measured, mut told, mut seen) = (Instant::now(), Instant::now(), 0);
    let mut pass = |checks: bool| -> Result<(), Failure> {
        std::thread::sleep(Duration::from_millis(500));
        if checks {
            scene.each().try_for_each(|mut actor| actor.check())?;
        }
        if measured.elapsed() >= MEASURE {
            measured = Instant::now();
            scene.stage.samples().take();
        }
        let mut judge = scene.stage.judge();
        judge.look(Instant::now());
        for violation in
            judge.violations.kept.iter().skip(std::mem::replace(&mut seen, judge.violations.kept.len()))
        {
            println!(
                "{:7.1} s  VIOLATION: {}: {}",
                began.elapsed().as_secs_f64(),
                violation.kind,
                violation.text
            );
        }
        if told.elapsed() >= Duration::from_secs(60) {
            told = Instant::now();
            println!("{}", crate::report::line(began.elapsed(), &judge));
        }
        Ok(())
    };
    while began.elapsed() < lasts && !scene.is_called_off() {
        pass(true)?;
    }
    // A fault that has begun has its end.
    while !lanes.iter().all(|lane| lane.is_finished()) {
        pass(true)?;
    }
    let writes = |actor: &Actor| ["writer", "ledger"].contains(&actor.spec.part);
    scene.stage.judge().writers_end();
    scene.each().filter(|actor| writes(actor)).for_each(|mut actor| actor.end());
    scene.each().filter(|actor| writes(actor)).for_each(|mut actor| actor.ended(Duration::from_secs(60)));
    println!("all is written");
    let settling = Instant::now();
    while scene.stage.judge().open() > 0 && settling.elapsed() < SETTLE {
        pass(true)?;
    }
    println!("settled within {:.1?}", settling.elapsed());
    scene.stage.samples().take();
    scene.each().for_each(|mut actor| actor.end());
    scene.each().for_each(|mut actor| actor.ended(Duration::from_secs(60)));
    Ok(())
}

/// What groups have committed, again and again; and what nobody needs any more is deleted.
fn keep_books(scene: &Scene) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let admin = scene.admin().await?;
        let groups: Vec<&str> = OF_ORDERS.iter().map(|(name, _)| *name).collect();
        let mut cleaned = Instant::now();
        while !scene.is_over() {
            // Who is not answered asks again.
            let told = admin.committed_offsets_of(groups.iter().copied()).await.unwrap_or_default();
            for (follower, group) in groups.iter().enumerate() {
                let Some(Ok(offsets)) = told.get(*group) else { continue };
                let of_orders = offsets.iter().filter(|(at, _)| at.topic == "orders");
                let offsets: Vec<(i32, i64)> =
                    of_orders.map(|(at, offset)| (at.partition, offset.offset)).collect();
                scene.stage.judge().committed(Topic::Orders, follower, &offsets, Instant::now());
            }
            if cleaned.elapsed() >= CLEAN {
                cleaned = Instant::now();
                let done = done_with(scene);
                // The next time takes what this one did not.
                let _ = admin.delete_records(done).await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        admin.close().await;
        Ok(())
    })
}

fn done_with(scene: &Scene) -> Vec<((String, i32), i64)> {
    let judge = scene.stage.judge();
    let mut done = Vec::new();
    let mut add = |topic: &str, offsets: Vec<i64>| {
        let ends = (0..).zip(offsets).filter(|(_, offset)| *offset > 0);
        done.extend(ends.map(|(partition, offset)| ((topic.to_owned(), partition), offset)));
    };
    add("orders", judge.orders.done_with());
    add("ledger", judge.ledger.done_with());
    for (follower, topic, audit) in [(0, "transformed", "audit-transformed"), (1, "copied", "audit-copied")] {
        if let Some(follower) = judge.ledger.followers.get(follower) {
            add(topic, follower.outcomes_from(audit, LEDGER));
        }
    }
    done
}
