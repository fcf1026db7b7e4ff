//! Users, their passwords, and what SCRAM keeps of them.

use std::{collections::BTreeMap, time::Duration};

use fastrand::Rng;
use ottla_protocol::Secret;

use super::{Sasl, SaslMechanism, scram::Keys};
use crate::Cluster;

/// Whom a listener with SASL knows, and how it authenticates them.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(super) sasl: Sasl,
    keys: BTreeMap<(String, SaslMechanism), Keys>,
    /// Of its own, so that what else is drawn from the seed does not depend on who authenticates.
    rng: Rng,
}

impl Credentials {
    pub(crate) fn new(sasl: Sasl, seed: u64) -> Self {
        let mut credentials = Self { sasl, keys: BTreeMap::new(), rng: Rng::with_seed(seed ^ 0x5A51) };
        for (user, password) in credentials.sasl.users.clone() {
            credentials.derive(&user, &password);
        }
        credentials
    }

    fn derive(&mut self, user: &str, password: &Secret) {
        for mechanism in [SaslMechanism::ScramSha256, SaslMechanism::ScramSha512] {
            if !self.sasl.mechanisms.contains(&mechanism) {
                continue;
            }
            let salt = self.nonce().into_bytes();
            let keys = Keys::derive(mechanism, password.expose(), salt, self.sasl.scram_iterations.max(1));
            self.keys.extend(keys.map(|keys| ((user.to_owned(), mechanism), keys)));
        }
    }

    /// How late a refusal is told.
    pub(crate) const fn delay(&self) -> Duration {
        self.sasl.failed_authentication_delay
    }

    pub(super) fn password(&self, user: &str) -> Option<&Secret> {
        self.sasl.users.get(user)
    }

    pub(super) fn keys(&self, user: &str, mechanism: SaslMechanism) -> Option<&Keys> {
        self.keys.get(&(user.to_owned(), mechanism))
    }

    /// 26 random characters. Kafka's are 130 bits, in 25 or 26 such characters.
    pub(super) fn nonce(&mut self) -> String {
        (0..26).map(|_| self.rng.digit(36)).collect()
    }
}

impl Cluster {
    /// Gives a user a password, or another one. Connections go on; who authenticates from now on needs the new one. Nothing
    /// happens on a cluster without SASL.
    pub fn set_password(&mut self, user: &str, password: impl Into<Secret>) {
        if let Some(credentials) = &mut self.credentials {
            let password = password.into();
            credentials.derive(user, &password);
            credentials.sasl.users.insert(user.to_owned(), password);
        }
    }

    /// Removes a user. Connections go on, until they authenticate anew. Returns whether there was such a user.
    pub fn remove_user(&mut self, user: &str) -> bool {
        let Some(credentials) = &mut self.credentials else { return false };
        credentials.keys.retain(|(of, _), _| of != user);
        credentials.sasl.users.remove(user).is_some()
    }

    /// Sets `connections.max.reauth.ms`, for those who authenticate from now on. Nothing happens on a cluster without SASL.
    pub fn set_connections_max_reauth(&mut self, lifetime: Option<Duration>) {
        if let Some(credentials) = &mut self.credentials {
            credentials.sasl.connections_max_reauth = lifetime;
        }
    }
}
