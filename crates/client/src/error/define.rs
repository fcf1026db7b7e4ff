//! What a row of the table of errors becomes.

macro_rules! course {
    () => {
        Course::Stands
    };
    ($course:ident) => {
        Course::$course
    };
}

/// What a kind's page says of its course.
macro_rules! told {
    () => {
        "It stands until somebody changes something: neither retriable nor final."
    };
    (Passes) => {
        "Retriable."
    };
    (AsCoded) => {
        "Retriable where the broker's answer is."
    };
    (Ends) => {
        "Final."
    };
}

/// An error for each operation, with its kinds: `kind = whose fault, its course: what happened, what to do next;`. Without a
/// course it stands until somebody changes something.
macro_rules! errors {
    ($( $(#[$doc:meta])* $error:ident, $kind:ident, needs $operation:ident {
        $( $(#[$variant_doc:meta])* $variant:ident = $fault:ident $(, $course:ident)?: $what:literal, $advice:literal; )*
    } )*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $error(Box<Failure<$kind>>);

        #[doc = concat!("What kind of [`", stringify!($error), "`].")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $kind {
            $(
                $(#[$variant_doc])*
                #[doc = concat!("\n\nFault: `", stringify!($fault), "`. ", told!($($course)?), " Says: \u{201c}", $what, "\u{201d}.")]
                $variant,
            )*
        }

        impl $kind {
            /// Who can do something about it.
            pub const fn fault(self) -> Fault {
                match self { $( Self::$variant => Fault::$fault, )* }
            }

            const fn course(self) -> Course {
                match self { $( Self::$variant => course!($($course)?), )* }
            }

            /// Its kind for what a principal may not do; `None` where it has none.
            fn not_authorized() -> Option<Self> {
                let all = [$( (stringify!($variant), Self::$variant) ),*];
                all.into_iter().find(|(name, _)| *name == "NotAuthorized").map(|(_, kind)| kind)
            }

            const fn what(self) -> &'static str {
                match self { $( Self::$variant => $what, )* }
            }

            const fn advice(self) -> &'static str {
                match self { $( Self::$variant => $advice, )* }
            }
        }

        impl $error {
            /// What to match on.
            pub fn kind(&self) -> $kind {
                self.0.kind
            }

            /// Where it happened.
            pub fn context(&self) -> &Context {
                &self.0.facts.context
            }

            /// The broker's answer, where it was one.
            pub fn code(&self) -> Option<ErrorCode> {
                self.context().code
            }

            /// The permission that the principal lacks, where that is why: with what the call was about, as no broker says it.
            pub fn missing_permission(&self) -> Option<Permission> {
                self.0.facts.missing()
            }

            /// What became of the connection, where that is why, or was the last obstacle; its text is part of this error's.
            pub fn disconnected(&self) -> Option<&Disconnected> {
                self.0.facts.disconnected.as_ref()
            }

            /// Whether the same call may succeed later although nobody changes anything: a broker or the network was in
            /// the way, or time ran out. After a time-out, what was asked for may be done all the same.
            pub fn is_retriable(&self) -> bool {
                match self.kind().course() {
                    Course::Passes => true,
                    Course::AsCoded => self.code().is_some_and(ErrorCode::is_retriable),
                    Course::Stands | Course::Ends => false,
                }
            }

            /// Whether every later call fails, too: the client is closed, or its group wants no more of it. It is to be
            /// built anew, where that makes sense.
            pub fn is_final(&self) -> bool {
                self.kind().course() == Course::Ends
            }

            pub(crate) fn new(kind: $kind) -> Self {
                Self(Failure::new(kind, AclOperation::$operation))
            }
        }

        impl Details for $error {
            fn facts(&mut self) -> &mut Facts {
                &mut self.0.facts
            }

            fn broker(mut self, code: ErrorCode) -> Self {
                self.0.facts.context.code = Some(code);
                if let Some(kind) = $kind::not_authorized().filter(|_| code.is_authorization()) {
                    self.0.kind = kind;
                }
                self
            }
        }

        impl fmt::Display for $error {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.facts.fmt(self.kind().what(), self.kind().advice(), f)
            }
        }

        impl StdError for $error {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                self.0.facts.source.as_deref().map(|source| source as _)
            }
        }
    )*};
}

pub(super) use {course, errors, told};
