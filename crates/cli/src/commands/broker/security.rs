//! What the flags of security come to.

use std::{
    fs,
    hash::{BuildHasher, RandomState},
    path::Path,
    time::Duration,
};

use ottla_broker::{Authorizer, ClientAuth, Config, Sasl, SaslMechanism, Secret, Tls};

use crate::{
    args::{Security, TlsClientAuth},
    failure::{Failure, tell},
};

/// Adds who may connect and who may do what.
pub(super) fn secure(args: &Security, config: Config) -> Result<Config, Failure> {
    let authorizer = Authorizer {
        acls: args.acls.clone(),
        super_users: args.super_users.clone(),
        allow_everyone_if_no_acl_found: false,
    };
    if let Some(user) = args.super_users.iter().find(|user| !user.starts_with("User:")) {
        return Err(Failure::usage(format!("--super-user {user}: expected User:NAME, as in User:admin")));
    }
    Ok(Config {
        sasl: sasl(args)?,
        tls: tls(args)?,
        authorizer: (authorizer != Authorizer::default()).then_some(authorizer),
        // Who recorded an exchange of SCRAM could repeat it to a broker that draws the same numbers.
        seed: RandomState::new().hash_one(0),
        ..config
    })
}

/// Whether nobody gets in who has not proved who he is. A token that is not signed proves nothing.
pub(super) fn authenticates(config: &Config) -> bool {
    let certificates =
        config.tls.as_ref().is_some_and(|tls| matches!(tls.client_auth, ClientAuth::Required { .. }));
    let passwords =
        config.sasl.as_ref().is_some_and(|sasl| !sasl.mechanisms.contains(&SaslMechanism::OAuthBearer));
    certificates || passwords
}

fn sasl(args: &Security) -> Result<Option<Sasl>, Failure> {
    let Some(first) = args.sasl_mechanisms.first() else { return Ok(None) };
    let mut sasl = Sasl::new(args.sasl_mechanisms.iter().copied());
    sasl.connections_max_reauth = args.max_reauth_ms.map(Duration::from_millis);
    if let Some(path) = &args.users {
        let file = Secret::from(read("--users", path)?);
        let wrong = |line: usize| {
            Failure::usage(format!("--users {}: line {line}: expected NAME:PASSWORD", path.display()))
        };
        let text = file.expose_text().ok_or_else(|| {
            Failure::usage(format!("--users {}: not UTF-8; write it anew as text", path.display()))
        })?;
        for (at, line) in
            text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        {
            let (name, password) = user(line).ok_or_else(|| wrong(at + 1))?;
            sasl = sasl.user(name, password);
        }
    }
    for word in &args.more_users {
        // The word may be a password.
        let expected = || Failure::usage("--user: expected NAME:PASSWORD, as in alice:open-sesame");
        let (name, password) = word.expose_text().and_then(user).ok_or_else(expected)?;
        tell(format!("--user {name}: others on this machine can see the password; --users FILE hides it"));
        sasl = sasl.user(name, password);
    }
    let needs_users = args.sasl_mechanisms.iter().find(|it| **it != SaslMechanism::OAuthBearer);
    match needs_users {
        Some(mechanism) if sasl.users.is_empty() => Err(Failure::usage(format!(
            "--sasl-mechanism {mechanism}: nobody can authenticate without users; say --users FILE"
        ))),
        None if !sasl.users.is_empty() => Err(Failure::usage(format!(
            "--sasl-mechanism {first}: has no users, but tokens; leave --users out"
        ))),
        _ => Ok(Some(sasl)),
    }
}

fn user(line: &str) -> Option<(&str, &str)> {
    line.split_once(':').filter(|(name, password)| !name.is_empty() && !password.is_empty())
}

fn tls(args: &Security) -> Result<Option<Tls>, Failure> {
    let how = args.tls_client_auth;
    let ca = args.tls_client_ca.as_ref().map(|path| read("--tls-client-ca", path)).transpose()?;
    let client_auth = match (how, ca) {
        (Some(TlsClientAuth::Requested), Some(ca)) => ClientAuth::Requested { ca },
        (Some(TlsClientAuth::Required) | None, Some(ca)) => ClientAuth::Required { ca },
        (Some(TlsClientAuth::None) | None, _) => ClientAuth::None,
        (Some(_), None) => {
            return Err(Failure::usage("--tls-client-auth: whose certificates? say --tls-client-ca FILE"));
        }
    };
    let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) else { return Ok(None) };
    let tls = Tls::new(read("--tls-cert", certificate)?, read("--tls-key", key)?);
    Ok(Some(tls.client_auth(client_auth)))
}

fn read(flag: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| Failure::usage(format!("{flag} {}: {error}", path.display())))
}
