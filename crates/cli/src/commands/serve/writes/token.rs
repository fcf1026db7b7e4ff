//! The token without which nothing is written. It is in no log, and of what was given only a digest is kept.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hyper::{
    StatusCode,
    header::{AUTHORIZATION, HeaderMap},
};
use ottla_broker::Secret;
use sha2::{Digest, Sha256};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::request::Refused;
use crate::failure::{Failure, tell};

/// What a token has at the least: less can be guessed.
const LEAST: usize = 16;
/// And at the most.
const MOST: usize = 1_024;
/// How many are compared at once, and for how long a wrong one keeps its place: so many a second can be tried.
const AT_ONCE: usize = 4;
const SLOWED: Duration = Duration::from_secs(1);
/// How long a place is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(in crate::commands::serve) struct Token {
    digest: [u8; 32],
    places: Arc<Semaphore>,
    /// For how long a wrong one keeps its place.
    slowed: Duration,
    /// Those that keep theirs.
    kept: Mutex<JoinSet<()>>,
}

impl Token {
    /// A new one, with its text, which is told once.
    pub(in crate::commands::serve) fn draw() -> Result<(Self, String), Failure> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)
            .map_err(|error| Failure::failed(format!("--allow-writes: no token can be drawn: {error}")))?;
        let text = URL_SAFE_NO_PAD.encode(bytes);
        Ok((Self::of(&text), text))
    }

    /// The one line of a file.
    pub(in crate::commands::serve) fn from_file(path: &Path) -> Result<Self, Failure> {
        let wrong = |why: &str| Failure::usage(format!("--token-file {}: {why}", path.display()));
        let text = Secret::from(fs::read(path).map_err(|error| wrong(&error.to_string()))?);
        let token = text.expose_text().unwrap_or_default().trim_end_matches(['\n', '\r']);
        if !(LEAST..=MOST).contains(&token.len()) || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong(&format!(
                "expected one line of {LEAST} to {MOST} letters, digits and signs, without blanks"
            )));
        }
        if is_open(path) {
            let what = "others on this machine can read it, and write with it";
            tell(format!("--token-file {}: {what}; `chmod 600` keeps it from them", path.display()));
        }
        Ok(Self::of(token))
    }

    fn of(text: &str) -> Self {
        let (digest, places) = (Sha256::digest(text).into(), Arc::new(Semaphore::new(AT_ONCE)));
        Self { digest, places, slowed: SLOWED, kept: Mutex::default() }
    }

    /// Lets in who has it in his headers, and has not been refused before. Whoever is refused is told late, so that neither tokens are tried
    /// nor lines written in numbers.
    pub(super) async fn admit(
        &self,
        headers: &HeaderMap,
        checked: Result<(), Refused>,
        peer: SocketAddr,
    ) -> Result<(), Refused> {
        let Ok(Ok(place)) = timeout(PATIENCE, self.places.clone().acquire_owned()).await else {
            return Err(Refused(
                StatusCode::TOO_MANY_REQUESTS,
                "too many are refused: come again".to_owned(),
            ));
        };
        let Err(refused) = checked.and_then(|()| self.check(headers)) else { return Ok(()) };
        tell(format!("write: {peer}: refused: {}", refused.1));
        // It ends with its place.
        _ = self.keep(place).await;
        Err(refused)
    }

    /// A task of the server's, not of the connection's: who goes away at once has tried it all the same.
    fn keep(&self, place: OwnedSemaphorePermit) -> oneshot::Receiver<()> {
        let (over, kept) = oneshot::channel();
        let slowed = self.slowed;
        let mut tasks = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            sleep(slowed).await;
            drop(place);
            _ = over.send(());
        });
        kept
    }

    /// Nobody is let in any more.
    pub(super) async fn end(&self) {
        let mut kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        kept.shutdown().await;
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let given: Vec<_> = headers.get_all(AUTHORIZATION).iter().collect();
        let why = match given.as_slice() {
            [] => "no token: a write needs `Authorization: Bearer TOKEN`",
            [one] if one.to_str().ok().and_then(bearer).is_some_and(|token| self.is(token)) => return Ok(()),
            _ => "a wrong token",
        };
        Err(Refused(StatusCode::UNAUTHORIZED, why.to_owned()))
    }

    /// Takes as long for any. What differs early in a digest says nothing of the token.
    fn is(&self, token: &str) -> bool {
        let given: [u8; 32] = Sha256::digest(token).into();
        given.iter().zip(self.digest).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

#[cfg(unix)]
fn is_open(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::{
        net::{IpAddr, Ipv4Addr},
        time::Instant,
    };

    use hyper::header::HeaderValue;

    use super::*;

    const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

    fn block_on<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    fn token() -> Token {
        Token { slowed: Duration::from_millis(30), ..Token::of("sesame-and-more-of-it") }
    }

    #[test]
    fn a_token_is_taken_from_its_header_alone_and_a_wrong_one_is_answered_late() {
        let token = token();
        let check = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::try_from(*value).unwrap());
            }
            let begun = Instant::now();
            let told = block_on(token.admit(&headers, Ok(()), PEER)).map_err(|Refused(status, _)| status);
            assert!(told.is_ok() || begun.elapsed() >= token.slowed);
            told
        };
        assert_eq!(check(&["Bearer sesame-and-more-of-it"]), Ok(()));
        assert_eq!(check(&["bearer  sesame-and-more-of-it"]), Ok(()));
        for wrong in [
            &[][..],
            &["Bearer sesame-and-more-of-i"],
            &["Bearer sesame-and-more-of-it2"],
            &["Bearer "],
            &["sesame-and-more-of-it"],
            &["Basic sesame-and-more-of-it"],
            &["Bearer sesame-and-more-of-it", "Bearer sesame-and-more-of-it"],
        ] {
            assert_eq!(check(wrong), Err(StatusCode::UNAUTHORIZED), "{wrong:?}");
        }
    }

    #[test]
    fn no_more_than_four_wrong_tokens_are_tried_at_once_whoever_asks() {
        let token = std::sync::Arc::new(token());
        let begun = Instant::now();
        block_on(async {
            let mut tries = tokio::task::JoinSet::new();
            for _ in 0..40 {
                let token = token.clone();
                tries.spawn(async move { token.admit(&HeaderMap::new(), Ok(()), PEER).await.is_err() });
            }
            assert!(tries.join_all().await.into_iter().all(|refused| refused));
        });
        assert!(begun.elapsed() >= 10 * token.slowed);
    }

    #[test]
    fn who_does_not_wait_for_his_answer_keeps_his_place_for_as_long() {
        let (token, none) = (token(), HeaderMap::new());
        let begun = Instant::now();
        block_on(async {
            for _ in 0..AT_ONCE {
                let tried = token.admit(&none, Ok(()), PEER);
                assert!(timeout(Duration::ZERO, tried).await.is_err(), "it is answered at once");
            }
            assert!(token.admit(&none, Ok(()), PEER).await.is_err());
        });
        assert!(begun.elapsed() >= 2 * token.slowed);
    }
}
