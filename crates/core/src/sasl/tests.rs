//! The exchanges of the RFCs, and servers that do not keep to them.

use ottla_protocol::{
    ErrorCode, Request, Secret,
    messages::{SaslAuthenticateResponse, SaslHandshakeResponse},
};

use super::*;

fn scram(nonce: fn() -> String) -> SaslConfig {
    let (username, password) = ("user".to_owned(), Secret::from("pencil"));
    let hash = ScramHash::Sha256;
    SaslConfig {
        credentials: Credentials::Scram { hash, username, password, delegation_token: false },
        nonce,
    }
}

/// The broker has the mechanism.
fn welcome(login: &mut Login) -> Step {
    login.handle_response(SaslHandshakeResponse::default().into())
}

fn answer(login: &mut Login, bytes: &str) -> Step {
    let response = SaslAuthenticateResponse { auth_bytes: bytes.into(), ..Default::default() };
    login.handle_response(response.into())
}

#[track_caller]
fn said(step: Step) -> String {
    match step {
        Step::Send(Request::SaslAuthenticate(request)) => {
            request.auth_bytes.expose_text().expect("text").to_owned()
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn failed(step: Step) -> SaslFailure {
    match step {
        Step::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn derive(login: &mut Login, step: Step) -> Step {
    let Step::Run(Errand::Derive(derivation)) = step else { panic!("{step:?}") };
    login.handle_done(Done::Derived(derivation.run()))
}

const SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

#[test]
fn scram_says_what_rfc_7677_says() {
    let (mut login, request) = Login::begin(&scram(|| "rOprNGfwEbeRWgbNEkqO".to_owned()));
    let Request::SaslHandshake(request) = request else { panic!("{request:?}") };
    assert_eq!(request.mechanism, "SCRAM-SHA-256");
    assert_eq!(said(welcome(&mut login)), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    let step = answer(&mut login, SERVER_FIRST);
    let proof = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                 p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    assert_eq!(said(derive(&mut login, step)), proof);
    assert!(matches!(answer(&mut login, SERVER_FINAL), Step::Over(None)));
}

#[test]
fn a_server_that_does_not_know_the_password_is_not_believed() {
    let (mut login, _) = Login::begin(&scram(|| "rOprNGfwEbeRWgbNEkqO".to_owned()));
    said(welcome(&mut login));
    let step = answer(&mut login, SERVER_FIRST);
    said(derive(&mut login, step));
    let failure = failed(answer(&mut login, &SERVER_FINAL.replace("6rri", "7rri")));
    assert!(matches!(&failure, SaslFailure::BadServer(why) if why.contains("password")), "{failure}");
}

#[test]
fn what_a_server_may_ask_of_a_client_is_bounded() {
    for (first, about) in [
        ("r=other,s=W22Z,i=4096", "nonce"),
        ("r=ours,s=W22Z,i=4096", "nonce"),
        ("r=ours+theirs,i=4096", "salt"),
        ("r=ours+theirs,s=,i=4096", "salt"),
        ("r=ours+theirs,s=W22Z", "iterations"),
        ("r=ours+theirs,s=W22Z,i=4095", "4095 iterations"),
        ("r=ours+theirs,s=W22Z,i=2000000000", "2000000000 iterations"),
        ("r=ours+theirs,s=W22Z,i=99999999999", "99999999999 iterations"),
    ] {
        let (mut login, _) = Login::begin(&scram(|| "ours".to_owned()));
        said(welcome(&mut login));
        let failure = failed(answer(&mut login, first)).to_string();
        assert!(failure.contains(about), "{first}: {failure}");
    }
}

#[test]
fn a_name_with_a_comma_is_escaped_and_a_delegation_token_says_that_it_is_one() {
    let (username, password) = ("a,b=c".to_owned(), Secret::from("hmac"));
    let credentials =
        Credentials::Scram { hash: ScramHash::Sha512, username, password, delegation_token: true };
    let (mut login, _) = Login::begin(&SaslConfig { credentials, nonce: || "ours".to_owned() });
    assert_eq!(said(welcome(&mut login)), "n,,n=a=2Cb=3Dc,r=ours,tokenauth=true");
}

#[test]
fn plain_shows_the_name_and_the_password() {
    let (username, password) = ("alice".to_owned(), Secret::from("secret"));
    let credentials = Credentials::Plain { username, password };
    let (mut login, _) = Login::begin(&SaslConfig { credentials, nonce: String::new });
    assert_eq!(said(welcome(&mut login)), "\0alice\0secret");
    let response = SaslAuthenticateResponse { session_lifetime_ms: 4000, ..Default::default() };
    let step = login.handle_response(response.into());
    assert!(matches!(step, Step::Over(Some(lifetime)) if lifetime == Duration::from_secs(4)), "{step:?}");
}

fn bearer(token: Result<Token, SaslFailure>) -> (Login, Step) {
    let config = SaslConfig { credentials: Credentials::OAuthBearer, nonce: String::new };
    let (mut login, _) = Login::begin(&config);
    let step = welcome(&mut login);
    assert!(matches!(step, Step::Run(Errand::FetchToken)), "{step:?}");
    let step = login.handle_done(Done::Token(token));
    (login, step)
}

#[test]
fn a_token_is_shown_with_its_extensions_and_a_broker_that_refuses_it_says_why() {
    let extensions = vec![("traceId".to_owned(), "42".to_owned())];
    let (mut login, step) = bearer(Ok(Token { token: "abc.def.".into(), extensions }));
    assert_eq!(said(step), "n,,\x01auth=Bearer abc.def.\x01traceId=42\x01\x01");
    assert_eq!(said(answer(&mut login, r#"{"status":"invalid_token"}"#)), "\x01");
    let error_code = ErrorCode::SaslAuthenticationFailed;
    let error_message = Some(r#"{"status":"invalid_token"}"#.to_owned());
    let response = SaslAuthenticateResponse { error_code, error_message, ..Default::default() };
    let failure = failed(login.handle_response(response.into()));
    assert!(matches!(&failure, SaslFailure::Refused(why) if why.contains("invalid_token")), "{failure}");
}

#[test]
fn what_could_say_more_than_a_token_is_no_token() {
    let token = |token: &str, extension: &str| {
        let extensions = vec![(extension.to_owned(), "value".to_owned())];
        bearer(Ok(Token { token: token.into(), extensions })).1
    };
    for (text, extension) in [("", "a"), ("a\x01b", "a"), ("a", "auth"), ("a", "a=b"), ("a", "")] {
        let failure = failed(token(text, extension));
        assert!(matches!(failure, SaslFailure::NoToken(_)), "{text:?} {extension:?}: {failure}");
    }
    let unavailable = SaslFailure::TokenUnavailable("503".to_owned());
    assert_eq!(failed(bearer(Err(unavailable.clone())).1), unavailable);
}

#[test]
fn a_mechanism_that_the_broker_lacks_is_told_with_those_that_it_has() {
    let (mut login, _) = Login::begin(&scram(|| "ours".to_owned()));
    let error_code = ErrorCode::UnsupportedSaslMechanism;
    let mechanisms = vec!["PLAIN".to_owned(), "SCRAM-SHA-512".to_owned()];
    let failure = failed(login.handle_response(SaslHandshakeResponse { error_code, mechanisms }.into()));
    let text = failure.to_string();
    assert!(text.contains("does not have SCRAM-SHA-256") && text.contains("PLAIN, SCRAM-SHA-512"), "{text}");
}
