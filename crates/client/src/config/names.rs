//! One name or several: what setters take of topics, groups and addresses.

/// One name, or several: `"a"`, a `String`, `["a", "b"]`, `&["a"]`, a `Vec<String>`, an iterator.
///
/// `Kind` is [`One`] or [`Many`]; the compiler finds out which.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither a name nor several: text, or an array, list or iterator of texts"
)]
pub trait Names<Kind> {
    /// All of them, in order.
    fn into_names(self) -> Vec<String>;
}

/// One name.
#[derive(Debug)]
pub enum One {}

/// Several names, or none.
#[derive(Debug)]
pub enum Many {}

impl<T: AsRef<str>> Names<One> for T {
    fn into_names(self) -> Vec<String> {
        vec![self.as_ref().to_owned()]
    }
}

impl<I: IntoIterator<Item: AsRef<str>>> Names<Many> for I {
    fn into_names(self) -> Vec<String> {
        self.into_iter().map(|name| name.as_ref().to_owned()).collect()
    }
}
