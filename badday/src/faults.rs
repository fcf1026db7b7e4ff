//! Faults: each begins, ends, and says for how long nothing need come after it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use ottla::{
    Admin, AdminError, NodeId,
    admin::{ConfigChange, ConfigResource, NewTopic},
    error::AdminErrorKind,
};
use ottla_conformance::kafka::Tools;

use crate::{
    cast::Clock,
    company::{MOST_ORDERS, TLS},
    judge::{Scope, Topic},
    plan::{OfClient, OfCluster, Plan},
    scene::{Failure, Scene, runtime},
};

/// A topic whose records may be lost: it is deleted, and made anew.
pub(crate) const SIDE: &str = "side";

/// After a client is back: its old session ends, its group shares out anew, an open transaction is ended.
pub(crate) const CLIENT_RECOVERY: Duration = Duration::from_secs(15);

/// After a broker is back: leaders and coordinators are elected and found, groups are loaded, sessions that ended begin anew.
pub(crate) const BROKER_RECOVERY: Duration = Duration::from_secs(15);

/// After connections broke, or were slow.
pub(crate) const NETWORK_RECOVERY: Duration = Duration::from_secs(10);

/// After a topic has changed: clients look each five seconds, and groups share out anew.
pub(crate) const TOPIC_RECOVERY: Duration = Duration::from_secs(15);

/// How a broker whose disk is slow goes: it stands still, and goes on for a moment.
const STILL: Duration = Duration::from_millis(350);
const GOES: Duration = Duration::from_millis(120);

const FETCH: i16 = 1;

pub(crate) struct Faults<'a> {
    scene: &'a Scene,
    began: Instant,
    done: Mutex<BTreeMap<&'static str, u64>>,
    /// Of the clocks that are both set, which go on alone.
    both: Mutex<i64>,
}

impl<'a> Faults<'a> {
    pub(crate) fn new(scene: &'a Scene, began: Instant) -> Self {
        Self { scene, began, done: Mutex::default(), both: Mutex::default() }
    }

    /// How many of each kind there were.
    pub(crate) fn done(&self) -> BTreeMap<&'static str, u64> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn begins(&self, kind: &'static str, what: &str) {
        println!("{:7.1} s  {what}", self.began.elapsed().as_secs_f64());
        *self.done.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
    }

    /// Until then; false where all is over before.
    fn wait_for(&self, at: Duration) -> bool {
        while self.began.elapsed() < at {
            if self.scene.is_called_off() || self.scene.is_over() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        true
    }

    fn shade<T>(
        &self,
        scope: Scope,
        what: &str,
        recovery: Duration,
        fault: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let shade = self.scene.stage.judge().shades.begin(scope, what, Instant::now());
        let done = fault();
        self.scene.stage.judge().shades.end(shade, Instant::now(), recovery);
        done
    }

    pub(crate) fn of_clients(&self, plan: &Plan) -> Result<(), Failure> {
        for due in &plan.of_clients {
            if !self.wait_for(due.at) {
                break;
            }
            self.of_client(due.fault)?;
        }
        Ok(())
    }

    fn of_client(&self, fault: OfClient) -> Result<(), Failure> {
        let (stage, kind) = (&self.scene.stage, fault.kind());
        match fault {
            OfClient::Kill { actor: index, back } => {
                let Some(actor) = self.scene.actor(index) else { return Ok(()) };
                let (name, scope) = (actor.spec.name, Scope::These(actor.spec.concerns.clone()));
                drop(actor);
                self.begins(kind, &format!("{kind}: {name}, back after {back:?}"));
                self.shade(scope, &format!("{name} killed"), CLIENT_RECOVERY, || {
                    let actor = || self.scene.actor(index).ok_or("no such actor");
                    actor()?.kill();
                    std::thread::sleep(back);
                    Ok(actor()?.start()?)
                })
            }
            OfClient::Stop { actor: index, lasts } => {
                let Some(actor) = self.scene.actor(index) else { return Ok(()) };
                let (name, scope) = (actor.spec.name, Scope::These(actor.spec.concerns.clone()));
                self.begins(kind, &format!("{kind}: {name}, for {lasts:?}"));
                actor.signal("STOP");
                drop(actor);
                self.shade(scope, &format!("{name} stopped"), CLIENT_RECOVERY, || {
                    std::thread::sleep(lasts);
                    self.scene.actor(index).ok_or("no such actor")?.signal("CONT");
                    Ok(())
                })
            }
            OfClient::Wall { to } => {
                self.begins(kind, &format!("{kind}: {to:+} s beside the true time"));
                Ok(stage.set_clock(Clock::Wall, to)?)
            }
            OfClient::Both { by } => {
                let mut both = self.both.lock().unwrap_or_else(PoisonError::into_inner);
                *both += by;
                self.begins(kind, &format!("{kind}: {by} s on"));
                let concerned = self.scene.each().filter(|actor| actor.spec.clock == Clock::Both);
                let concerned = concerned.flat_map(|actor| actor.spec.concerns.clone()).collect();
                self.shade(Scope::These(concerned), "clocks set", CLIENT_RECOVERY, || {
                    Ok(stage.set_clock(Clock::Both, *both)?)
                })
            }
        }
    }

    pub(crate) fn of_cluster(&self, plan: &Plan) -> Result<(), Failure> {
        let runtime = runtime()?;
        let admin = runtime.block_on(self.scene.admin())?;
        for due in &plan.of_cluster {
            if !self.wait_for(due.at) {
                break;
            }
            // Two of three are to remain.
            let done = runtime.block_on(self.scene.in_sync(&admin)).and_then(|()| {
                self.begins(due.fault.kind(), &due.fault.to_string());
                self.of_one(due.fault, &runtime, &admin)
            });
            if let Err(error) = done {
                let text = format!("{}: {error}", due.fault);
                self.scene.stage.judge().violations.add("fault not done", text, Instant::now());
            }
        }
        runtime.block_on(admin.close());
        Ok(())
    }

    fn of_one(
        &self,
        fault: OfCluster,
        runtime: &tokio::runtime::Runtime,
        admin: &Admin,
    ) -> Result<(), Failure> {
        let cluster = &self.scene.cluster;
        let what = fault.to_string();
        let all = |recovery, fault: &dyn Fn() -> Result<(), Failure>| {
            self.shade(Scope::All, &what, recovery, fault)
        };
        let sleep = |time| std::thread::sleep(time);
        match fault {
            OfCluster::Kill { node, down } => all(BROKER_RECOVERY, &|| {
                cluster.kill(node)?;
                sleep(down);
                Ok(cluster.restart(node)?)
            }),
            OfCluster::Restart { node } => all(BROKER_RECOVERY, &|| {
                cluster.stop(node)?;
                Ok(cluster.restart(node)?)
            }),
            OfCluster::Freeze { node, lasts } => all(BROKER_RECOVERY, &|| {
                cluster.freeze(node, true)?;
                sleep(lasts);
                Ok(cluster.freeze(node, false)?)
            }),
            OfCluster::Slow { node, lasts } => all(BROKER_RECOVERY, &|| {
                let end = Instant::now() + lasts;
                while Instant::now() < end {
                    cluster.freeze(node, true)?;
                    sleep(STILL);
                    cluster.freeze(node, false)?;
                    sleep(GOES);
                }
                Ok(())
            }),
            OfCluster::Latency { node, by, lasts } => all(NETWORK_RECOVERY, &|| {
                cluster.proxy(node)?.delay(None, by);
                sleep(lasts);
                cluster.proxy(node)?.delay(None, Duration::ZERO);
                Ok(())
            }),
            OfCluster::Silence { node, lasts } => all(NETWORK_RECOVERY, &|| {
                cluster.proxy(node)?.hold(true);
                sleep(lasts);
                cluster.proxy(node)?.hold(false);
                Ok(())
            }),
            OfCluster::Cut { node } => all(NETWORK_RECOVERY, &|| self.cut(node)),
            OfCluster::Tear { node } => all(NETWORK_RECOVERY, &|| {
                cluster.proxy(node)?.tear_next(FETCH);
                Ok(())
            }),
            OfCluster::Away { node, lasts } => all(NETWORK_RECOVERY, &|| {
                let refuse = |refusing| {
                    cluster.proxy(node)?.refuse(refusing);
                    cluster.proxy_of_listener(node, TLS)?.refuse(refusing);
                    Ok::<_, Failure>(())
                };
                refuse(true)?;
                self.cut(node)?;
                sleep(lasts);
                refuse(false)
            }),
            OfCluster::Certificates => all(NETWORK_RECOVERY, &|| runtime.block_on(self.rotate(admin))),
            OfCluster::Partitions => all(TOPIC_RECOVERY, &|| runtime.block_on(self.add_partition(admin))),
            OfCluster::Remade => {
                let side = Scope::These(vec!["side".to_owned()]);
                self.shade(side, &what, TOPIC_RECOVERY, || runtime.block_on(make_anew(admin)))
            }
            OfCluster::Settings => runtime.block_on(change_settings(admin, self.began)),
            OfCluster::Upgrade => {
                for node in cluster.node_ids() {
                    runtime.block_on(self.scene.in_sync(admin))?;
                    all(BROKER_RECOVERY, &|| {
                        cluster.stop(node)?;
                        Ok(cluster.upgrade(node)?)
                    })?;
                }
                runtime.block_on(self.scene.in_sync(admin))?;
                Ok(Tools::new(cluster.bootstrap())?.upgrade_features("4.4")?)
            }
        }
    }

    fn cut(&self, node: u32) -> Result<(), Failure> {
        self.scene.cluster.proxy(node)?.cut();
        self.scene.cluster.proxy_of_listener(node, TLS)?.cut();
        Ok(())
    }

    /// Both certificates change, brokers read theirs, and connections come about anew.
    async fn rotate(&self, admin: &Admin) -> Result<(), Failure> {
        let certificates = &self.scene.certificates;
        let in_a_week = std::time::SystemTime::now() + Duration::from_secs(7 * 86_400);
        certificates.renew("client", Some(in_a_week))?;
        certificates.renew("server", None)?;
        let file = certificates.path("server.pem").display().to_string();
        let key = "listener.name.tls.ssl.keystore.location";
        for node in self.scene.cluster.node_ids() {
            let broker = ConfigResource::Broker(NodeId(node as i32));
            insist(|| set(admin, broker.clone(), key, &file)).await?;
        }
        for node in self.scene.cluster.node_ids() {
            self.scene.cluster.proxy_of_listener(node, TLS)?.cut();
        }
        Ok(())
    }

    async fn add_partition(&self, admin: &Admin) -> Result<(), Failure> {
        let count = self.scene.stage.judge().orders.partitions() + 1;
        if count > MOST_ORDERS {
            return Ok(());
        }
        self.scene.stage.judge().log_mut(Topic::Orders).grow(count);
        // One whose answer was lost is done, and refused when it is asked for again.
        if let Err(error) = admin.create_partitions("orders", count as i32).await
            && error.kind() != AdminErrorKind::TimedOut
        {
            return Err(error.into());
        }
        self.scene.cluster.wait_for_topic("orders")?;
        let order = format!("partitions {count}");
        let are_told = ["writer-a", "writer-b", "audit-orders"];
        for mut actor in self.scene.each().filter(|actor| are_told.contains(&actor.spec.name)) {
            actor.order(&order);
        }
        Ok(())
    }
}

/// Until it is done; where that takes too long, the last error.
async fn insist<T, F: Future<Output = Result<T, AdminError>>>(ask: impl Fn() -> F) -> Result<T, Failure> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match ask().await {
            Ok(done) => return Ok(done),
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    }
}

async fn make_anew(admin: &Admin) -> Result<(), Failure> {
    insist(|| admin.delete_topic(SIDE)).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    insist(|| admin.create_topic(NewTopic::new(SIDE).partitions(2).replication_factor(3))).await
}

async fn change_settings(admin: &Admin, began: Instant) -> Result<(), Failure> {
    // Another value each time, of what no record here comes near.
    let size = (1_000_000 + began.elapsed().as_secs()).to_string();
    for topic in ["orders", "ledger", "transformed"] {
        let topic = ConfigResource::Topic(topic.to_owned());
        insist(|| set(admin, topic.clone(), "max.message.bytes", &size)).await?;
    }
    Ok(())
}

async fn set(admin: &Admin, of: ConfigResource, key: &str, value: &str) -> Result<(), AdminError> {
    let changes = BTreeMap::from([(key.to_owned(), ConfigChange::Set(value.to_owned()))]);
    admin.alter_configs([(of, changes)]).await?.into_values().collect()
}
