//! Embedded brokers that let in only whom they know.

use ottla_broker::{ClientAuth, Config, Sasl, SaslMechanism, Server, Tls};
use ottla_protocol::Secret;

use crate::kafka::{Access, Certificates, Mechanism, Tools, Unavailable, User};
use crate::targets::unique;

/// An embedded broker with TLS and SASL: each [`User`] may do everything.
#[derive(Debug)]
pub struct Guarded {
    server: Server,
    certificates: Certificates,
    is_mutual: bool,
}

impl Guarded {
    /// One that asks for clients' certificates, or not.
    pub fn start(is_mutual: bool) -> Result<Self, Unavailable> {
        let certificates = Certificates::make(&unique("guarded"))?;
        let read = |name| std::fs::read(certificates.path(name)).map_err(|error| failed(&error));
        let mut tls = Tls::new(read("server.crt")?, Secret::from(read("server.key")?));
        if is_mutual {
            tls = tls.client_auth(ClientAuth::Required { ca: read("ca.crt")? });
        }
        let sasl = Sasl::new(SaslMechanism::ALL.iter().copied());
        let sasl = User::ALL.iter().fold(sasl, |sasl, user| sasl.user(user.name(), user.password()));
        let config = Config { tls: Some(tls), sasl: Some(sasl), ..Config::default() };
        let server = Server::start_on_thread(config, ([127, 0, 0, 1], 0)).map_err(|error| failed(&error))?;
        Ok(Self { server, certificates, is_mutual })
    }

    /// A client's properties by Java's names.
    pub fn java(&self, mechanism: Mechanism) -> Access {
        let sasl = Some((mechanism, User::Alice));
        Access::java(&self.server.bootstrap(), "SASL_SSL", &self.certificates, self.is_mutual, sasl)
    }

    /// A client's properties by librdkafka's names.
    pub fn librdkafka(&self, mechanism: Mechanism) -> Access {
        let sasl = Some((mechanism, User::Alice));
        Access::librdkafka(&self.server.bootstrap(), "SASL_SSL", &self.certificates, self.is_mutual, sasl)
    }

    /// The tools of the newest Kafka, with these properties.
    pub fn tools(&self, access: &Access) -> Result<Tools, Unavailable> {
        let file = access.file(&self.certificates).map_err(|error| failed(&error))?;
        Ok(Tools::new(self.server.bootstrap())?.with_properties(file))
    }
}

fn failed(why: &dyn std::fmt::Display) -> Unavailable {
    Unavailable::Failed(format!("a guarded broker: {why}"))
}
