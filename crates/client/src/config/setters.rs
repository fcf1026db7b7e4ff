//! What every builder has: setters, and the view of what was set.

/// The setters that every builder has, over its field `common`.
macro_rules! common_setters {
    ($idle:literal) => {
        /// Brokers to ask first, as `host:port` or `[v6]:port`, one, several, or several with commas between; they name
        /// the others. Required, as in Java.
        #[must_use]
        pub fn bootstrap_servers<Kind>(mut self, servers: impl crate::config::names::Names<Kind>) -> Self {
            self.common.bootstrap_servers = servers.into_names();
            self
        }

        /// The name that brokers know this client by in their logs, metrics and quotas. Default `ottla`; Java makes
        /// one up for each client.
        #[must_use]
        pub fn client_id(mut self, id: impl Into<String>) -> Self {
            self.common.client_id = id.into();
            self
        }

        /// How long a request may stay without an answer. Default 30 s, as Java's.
        #[must_use]
        pub fn request_timeout(mut self, timeout: Duration) -> Self {
            self.common.request_timeout = timeout;
            self
        }

        /// How long an operation may take with all its attempts. Default 60 s, as Java's. A producer, to which Java gives
        /// no such setting, goes by it only while it is built.
        #[must_use]
        pub fn default_api_timeout(mut self, timeout: Duration) -> Self {
            self.common.default_api_timeout = timeout;
            self
        }

        /// The wait before a failed request is sent again; it doubles with each failure. Default 100 ms, as Java's.
        #[must_use]
        pub fn retry_backoff(mut self, wait: Duration) -> Self {
            self.common.retry_backoff.first = wait;
            self
        }

        /// The longest such wait. Default 1 s, as Java's.
        #[must_use]
        pub fn retry_backoff_max(mut self, wait: Duration) -> Self {
            self.common.retry_backoff.most = wait;
            self
        }

        /// The wait before a broker is connected to again; it doubles with each failure. Default 50 ms, as Java's.
        #[must_use]
        pub fn reconnect_backoff(mut self, wait: Duration) -> Self {
            self.common.reconnect_backoff.first = wait;
            self
        }

        /// The longest such wait. Default 1 s, as Java's.
        #[must_use]
        pub fn reconnect_backoff_max(mut self, wait: Duration) -> Self {
            self.common.reconnect_backoff.most = wait;
            self
        }

        /// Where bearer tokens come from, for SASL's mechanism OAUTHBEARER: a function that fetches one, and is called again
        /// when that nears its end. The properties of `sasl.oauthbearer.*` have no meaning then.
        ///
        /// It has `socket.connection.setup.timeout.ms` to come back, is called in the client's own thread, and must not block
        /// it.
        #[must_use]
        pub fn oauth_token_provider<P, R>(mut self, provider: P) -> Self
        where
            P: Fn() -> R + Send + Sync + 'static,
            R: Future<Output = Result<crate::OAuthToken, crate::OAuthTokenError>> + Send + 'static,
        {
            self.common.secured.sasl.tokens = Some(crate::net::tokens::TokenSource::new(provider));
            self
        }

        /// What opens connections, in place of TCP to the broker's own address: for tunnels, port-forwards and addresses that
        /// are others from where this program runs. It is given the host and the port that the user or a broker named, and
        /// returns what carries the bytes; TLS and SASL follow on that, and certificates are compared with the host that was
        /// given.
        ///
        /// It has `socket.connection.setup.timeout.ms` to come back, is called in the client's own thread, and must not block
        /// it. An error is a connection that could not be made: it is told and tried again like any other.
        ///
        /// ```
        /// # async fn forwarded() -> Result<(), ottla::BuildError> {
        /// // `kubectl port-forward` has given each broker a port of this machine.
        /// let builder = ottla::Consumer::builder()
        ///     .bootstrap_servers("kafka-0.kafka:9092")
        ///     .connector(|host, _port| async move {
        ///         let number: u16 = host.strip_prefix("kafka-").and_then(|rest| rest.split('.').next()?.parse().ok()).unwrap_or(0);
        ///         tokio::net::TcpStream::connect(("127.0.0.1", 19_092 + number)).await
        ///     });
        /// # builder.build().await?; Ok(()) }
        /// ```
        #[must_use]
        pub fn connector<C, R, S>(mut self, connect: C) -> Self
        where
            C: Fn(String, u16) -> R + Send + Sync + 'static,
            R: Future<Output = std::io::Result<S>> + Send + 'static,
            S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
        {
            self.common.connector = Some(crate::net::opening::Connector::new(connect));
            self
        }

        #[doc = concat!("How long a connection may be without use before it is closed. Default ", $idle, ", as Java's.")]
        #[must_use]
        pub fn connections_max_idle(mut self, idle: Duration) -> Self {
            self.common.connections_max_idle = idle;
            self
        }

        /// How long a connection may take to be of use: to stand, and to answer what is spoken there; another bootstrap
        /// server is tried beside it meanwhile. Default 10 s, as Java's, which ends where the connection stands, and
        /// lengthens it up to `socket.connection.setup.timeout.max.ms`.
        #[must_use]
        pub fn connection_setup_timeout(mut self, timeout: Duration) -> Self {
            self.common.connection_setup_timeout = timeout;
            self
        }

        /// Whether [`build`](Self::build) waits until a broker has answered, for up to
        /// [`default_api_timeout`](Self::default_api_timeout). Default true: an address that is wrong is an error at once.
        ///
        /// Java's constructors do not wait. With false neither does `build`, which then needs no broker: a service may
        /// start before its cluster. The client connects meanwhile, again and again, operations wait for it as long as
        /// they may take, and `explain()` tells which broker cannot be reached, and why.
        #[must_use]
        pub fn wait_for_broker(mut self, wait: bool) -> Self {
            self.common.wait_for_broker = wait;
            self
        }

        /// Told what `build` waits for, where that takes longer than a second and a half, and again when it changes.
        /// Default nobody is.
        #[must_use]
        pub fn on_wait(mut self, tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
            self.common.on_wait = crate::config::on_wait::OnWait(Some(std::sync::Arc::new(tell)));
            self
        }

        /// How old the picture of topics and brokers may get before it is asked for again. Default 5 min, as Java's.
        #[must_use]
        pub fn metadata_max_age(mut self, age: Duration) -> Self {
            self.common.metadata_max_age = age;
            self
        }

        /// Serves the client from a task of the Tokio runtime in which it is built, in place of a thread of its own.
        /// Default false: with a thread of its own it neither starves when the runtime's threads are blocked nor dies
        /// with the runtime. Java's consumer has no such choice.
        #[must_use]
        pub fn ambient_runtime(mut self, ambient: bool) -> Self {
            self.common.ambient_runtime = ambient;
            self
        }
    };
}

/// What a builder was told: one method for each setter, of the same name.
macro_rules! settings {
    ($settings:ident of $builder:ident; $( $name:ident: $type:ty = |$told:ident| $value:expr; )*) => {
        #[doc = concat!("What a [`", stringify!($builder), "`] was told, and the defaults of the rest: what [`settings`](",
            stringify!($builder), "::settings) returns. Whether it all fits together is told by [`build`](",
            stringify!($builder), "::build).")]
        #[derive(Debug, Clone, Copy)]
        pub struct $settings<'a>(&'a $builder);

        impl $builder {
            /// What it was told so far, by setters and properties, with the defaults of the rest.
            pub fn settings(&self) -> $settings<'_> {
                $settings(self)
            }
        }

        impl<'a> $settings<'a> {
            settings! {
                of $builder;
                bootstrap_servers: &'a [String] = |told| &told.common.bootstrap_servers;
                client_id: &'a str = |told| &told.common.client_id;
                request_timeout: Duration = |told| told.common.request_timeout;
                default_api_timeout: Duration = |told| told.common.default_api_timeout;
                retry_backoff: Duration = |told| told.common.retry_backoff.first;
                retry_backoff_max: Duration = |told| told.common.retry_backoff.most;
                reconnect_backoff: Duration = |told| told.common.reconnect_backoff.first;
                reconnect_backoff_max: Duration = |told| told.common.reconnect_backoff.most;
                connections_max_idle: Duration = |told| told.common.connections_max_idle;
                connection_setup_timeout: Duration = |told| told.common.connection_setup_timeout;
                metadata_max_age: Duration = |told| told.common.metadata_max_age;
                wait_for_broker: bool = |told| told.common.wait_for_broker;
                ambient_runtime: bool = |told| told.common.ambient_runtime;
                $( $name: $type = |$told| $value; )*
            }
        }
    };
    (of $builder:ident; $( $name:ident: $type:ty = |$told:ident| $value:expr; )*) => {$(
        #[doc = concat!("As [`", stringify!($builder), "::", stringify!($name), "`] set it.")]
        pub fn $name(self) -> $type {
            let $told = self.0;
            $value
        }
    )*};
}

pub(super) use {common_setters, settings};
