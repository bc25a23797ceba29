//! The external components (XEP-0114): which there are, and by which secret each is known. A component is at home here as an account is,
//! under its domain, with a session for each of its connections; no store knows it, and no modules run for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{Host, Pipeline};
use sasl::{Exchange, Step};
use stanza::{Bare, SaslFailure};
use store::Secret;

use crate::config::ComponentConfig;
use crate::hosts::VirtualHost;
use crate::registration::Registration;

/// The components by domain.
pub(crate) struct Components(BTreeMap<String, Component>);

struct Component {
    secret: Secret,
    host: Arc<VirtualHost>,
}

impl Components {
    /// Those that are configured; what is no domain is nobody's.
    pub(crate) fn new(configured: &[ComponentConfig]) -> Self {
        let one = |config: &ComponentConfig| {
            let domain = Bare::parse(&config.domain).ok()?;
            let component = Component {
                secret: config.secret.clone(),
                host: Arc::new(host(&domain)),
            };
            domain
                .local()
                .is_none()
                .then(|| (domain.as_str().to_owned(), component))
        };
        Self(configured.iter().filter_map(one).collect())
    }

    /// What a component has in the place of a virtual host, if `domain` is one's.
    pub(crate) fn get(&self, domain: &str) -> Option<&Arc<VirtualHost>> {
        self.0.get(domain).map(|component| &component.host)
    }

    /// Greets who says that it is the component `domain`, on a stream that is to have the id `id`.
    pub(crate) fn greet(&self, domain: &str, id: &str) -> Step {
        match (self.0.get(domain), Bare::parse(domain)) {
            (Some(component), Ok(jid)) => Exchange::greet(jid, id, component.secret.expose()),
            _ => Step::Failure(SaslFailure::InvalidAuthzid),
        }
    }
}

fn host(domain: &Bare) -> VirtualHost {
    VirtualHost {
        pipeline: Pipeline::default(),
        host: Arc::new(Host {
            domain: domain.as_str().to_owned(),
            ..Host::default()
        }),
        registration: Registration::default(),
    }
}
