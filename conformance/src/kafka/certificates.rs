//! Keys and certificates for a secured cluster and its clients, good and bad, made anew for each run.
//!
//! `NAME.crt` is a certificate, `NAME.key` its key in PKCS#8, and `NAME.pem` both, as Kafka wants them in one file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use super::{Missing, Unavailable, jars};
use crate::process;

/// Of the encrypted key, and of the PKCS#12 store.
pub const STORE_PASSWORD: &str = "store-secret";

const HERE: &[&str] = &["localhost", "127.0.0.1"];

/// A folder of keys and certificates.
#[derive(Debug)]
pub struct Certificates {
    dir: PathBuf,
    authority: Authority,
}

const OPENSSL_WITHIN: Duration = Duration::from_secs(30);

/// When a certificate is valid.
enum Valid {
    Now,
    Before,
    Later,
    Until(SystemTime),
}

type Authority = Issuer<'static, KeyPair>;

impl Certificates {
    /// Makes them in a folder of this process, which a later one finds, and removes, as what a killed run left behind.
    pub fn make(name: &str) -> Result<Self, Unavailable> {
        let dir = jars::home().join(format!("run-{}-certificates-{name}", std::process::id()));
        let authority = authority(&dir, "ca", "Authority").map_err(failed)?;
        let made = Self { dir, authority };
        made.make_all().map_err(failed)?;
        Ok(made)
    }

    /// Another server certificate, or client certificate that ends at a time, in place of what `NAME` was.
    pub fn renew(&self, name: &str, client_until: Option<SystemTime>) -> Result<(), Unavailable> {
        let (hosts, valid) = match client_until {
            Some(end) => (&[][..], Valid::Until(end)),
            None => (HERE, Valid::Now),
        };
        self.certificate(name, hosts, &valid, Some(&self.authority)).map_err(failed)
    }

    fn make_all(&self) -> Result<(), Box<dyn std::error::Error>> {
        let ours = &self.authority;
        let other = authority(&self.dir, "other-ca", "Another Authority")?;
        for (name, hosts, valid, authority) in [
            ("server", HERE, Valid::Now, Some(ours)),
            ("renewed-server", HERE, Valid::Now, Some(ours)),
            ("openid", HERE, Valid::Now, Some(ours)),
            ("expired", HERE, Valid::Before, Some(ours)),
            ("not-yet-valid", HERE, Valid::Later, Some(ours)),
            ("wrong-host", &["elsewhere.example"], Valid::Now, Some(ours)),
            ("unknown-authority", HERE, Valid::Now, Some(&other)),
            ("self-signed", HERE, Valid::Now, None),
            ("client", &[], Valid::Now, Some(ours)),
            ("expired-client", &[], Valid::Before, Some(ours)),
            ("other-client", &[], Valid::Now, Some(&other)),
        ] {
            self.certificate(name, hosts, &valid, authority)?;
        }
        let [client, server] = ["client.crt", "server.key"].map(|name| fs::read_to_string(self.path(name)));
        fs::write(self.path("unfitting.pem"), server? + &client?)?;
        fs::write(self.path("empty.pem"), "")?;
        Ok(())
    }

    /// One for hosts is a server's, one for none a client's; one of no authority has signed itself.
    fn certificate(
        &self,
        name: &str,
        hosts: &[&str],
        valid: &Valid,
        authority: Option<&Authority>,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let mut params =
            CertificateParams::new(hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>())?;
        params.distinguished_name.remove(DnType::CommonName);
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match hosts {
            [] => ExtendedKeyUsagePurpose::ClientAuth,
            _ => ExtendedKeyUsagePurpose::ServerAuth,
        }];
        let year = |year| date_time_ymd(year, 1, 1);
        (params.not_before, params.not_after) = match *valid {
            Valid::Now => (year(2020), year(2120)),
            Valid::Before => (year(2019), year(2020)),
            Valid::Later => (year(2119), year(2120)),
            Valid::Until(end) => (year(2020), end.into()),
        };
        let key = KeyPair::generate()?;
        let certificate = match authority {
            Some(authority) => params.signed_by(&key, authority)?,
            None => params.self_signed(&key)?,
        };
        fs::write(self.path(&format!("{name}.crt")), certificate.pem())?;
        fs::write(self.path(&format!("{name}.key")), key.serialize_pem())?;
        // In place of what is there at once: a client may be reading it.
        let (whole, part) = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.part")));
        fs::write(&part, key.serialize_pem() + &certificate.pem())?;
        Ok(fs::rename(part, whole)?)
    }

    /// The client's key and certificate once more: with the key encrypted, and in a PKCS#12 store.
    pub(super) fn make_with_openssl(&self) -> Result<(), Unavailable> {
        let password = format!("pass:{STORE_PASSWORD}");
        let (key, crt) = (self.path("client.key"), self.path("client.crt"));
        let openssl = |args: &[&str], out: &str| {
            let mut command = Command::new("openssl");
            command.args(args).args(["-passout", &password, "-out"]).arg(self.path(out));
            process::run(&command, OPENSSL_WITHIN).map_err(|error| {
                match error.status().and_then(|status| status.code()) {
                    Some(127) => Missing { what: "openssl", why: "it is not installed".to_owned() }.into(),
                    _ => Unavailable::Failed(error.to_string()),
                }
            })
        };
        let [key_path, crt_path] = [&key, &crt].map(|path| path.display().to_string());
        openssl(&["pkcs12", "-export", "-inkey", &key_path, "-in", &crt_path], "client.p12")?;
        // PBES2, as openssl has it by default, is nothing that Kafka can read on Java 17.
        for (name, form) in [("encrypted", &[][..]), ("encrypted-for-java", &["-v1", "PBE-SHA1-3DES"])] {
            let file = format!("{name}.key");
            openssl(&[&["pkcs8", "-topk8", "-in", &key_path], form].concat(), &file)?;
            let both =
                fs::read_to_string(self.path(&file)).and_then(|key| Ok(key + &fs::read_to_string(&crt)?));
            both.and_then(|both| fs::write(self.path(&format!("{name}.pem")), both))
                .map_err(|error| Unavailable::Failed(format!("certificates: {error}")))?;
        }
        Ok(())
    }

    /// Where one of the files is.
    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    /// The folder, for files that a case adds.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

fn failed(error: Box<dyn std::error::Error>) -> Unavailable {
    Unavailable::Failed(format!("certificates: {error}"))
}

/// An authority, whose certificate is in this folder, which is made.
fn authority(dir: &Path, name: &str, known_as: &str) -> Result<Authority, Box<dyn std::error::Error>> {
    fs::create_dir_all(dir)?;
    let mut params = CertificateParams::new([])?;
    params.distinguished_name.push(DnType::CommonName, known_as);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    fs::write(dir.join(format!("{name}.crt")), certificate.pem())?;
    fs::write(dir.join(format!("{name}.der")), certificate.der())?;
    Ok(Issuer::new(params, key))
}
