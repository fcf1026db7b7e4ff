//! The page, which is in the binary, and what a browser may do with it.

use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::header::HeaderValue;
use sha2::{Digest, Sha256};

const TEXT: &str = include_str!("page.html");

/// Who serves it knows the digests of its script and its style: nothing else is run, and nothing is loaded from elsewhere.
#[derive(Debug)]
pub(super) struct Page {
    policy: HeaderValue,
}

impl Page {
    pub(super) fn new() -> Self {
        let (script, style) = (digest("script"), digest("style"));
        let policy = format!(
            "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; connect-src 'self'; \
             img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        // It has letters and quotes alone.
        let policy = HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
        Self { policy }
    }

    pub(super) fn text() -> &'static str {
        TEXT
    }

    pub(super) fn policy(&self) -> HeaderValue {
        self.policy.clone()
    }
}

/// The digest of the one element of this name.
fn digest(element: &str) -> String {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let text = TEXT.split_once(&open).and_then(|(_, rest)| rest.split_once(&close));
    STANDARD.encode(Sha256::digest(text.map_or("", |(text, _)| text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_loads_nothing_and_makes_no_markup_of_names() {
        for element in ["script", "style"] {
            assert_eq!(
                TEXT.matches(&format!("<{element}")).count(),
                1,
                "one {element}, whose digest is told"
            );
        }
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "http://",
            "https://",
            " onclick=",
            " style=",
            "javascript:",
        ] {
            // The name of SVG's elements is no address that anything is loaded from.
            let text = TEXT.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains(word), "{word}");
        }
    }
}
