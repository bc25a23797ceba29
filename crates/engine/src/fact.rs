//! Facts: a module's own knowledge of an account, loaded when the account becomes active on a router and kept warm.

use std::any::{Any, TypeId};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures::future::try_join_all;
use stanza::{Bare, ns};
use store::{Key, Stores, Version};
use xml::{Element, Limits};

/// Knowledge of one account that hooks read without awaiting.
pub trait Fact: Send + Sync + Sized + 'static {
    /// Reads it from the stores.
    fn load(stores: &Stores, account: &Bare) -> impl Future<Output = store::Result<Self>> + Send;
}

/// What stands at `key` as an element, as `read` understands it, with its version; `None` when nothing does.
///
/// # Errors
/// The store's; `Corrupt` when it is no element, or `read` makes nothing of it.
pub async fn kept<T>(
    stores: &Stores,
    account: &Bare,
    key: &Key,
    read: impl FnOnce(&Element) -> Option<T>,
) -> store::Result<Option<(T, Version)>> {
    let Some(item) = stores.items.get(account, key).await? else {
        return Ok(None);
    };
    let element = Element::parse(&item.value, ns::CLIENT, &Limits::UNLIMITED).ok();
    match element.as_ref().and_then(read) {
        Some(value) => Ok(Some((value, item.version))),
        None => Err(store::Error::Corrupt(format!(
            "{} of {account}: {}",
            key.space, key.name
        ))),
    }
}

/// A fact with its type rubbed out, on its way.
pub type FactFuture<'a> = Pin<Box<dyn Future<Output = store::Result<Arc<dyn Any + Send + Sync>>> + Send + 'a>>;

/// Loads one kind of fact.
#[derive(Clone, Copy)]
pub struct FactLoader {
    pub(crate) kind: TypeId,
    pub(crate) load: for<'a> fn(&'a Stores, &'a Bare) -> FactFuture<'a>,
}

impl PartialEq for FactLoader {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl std::fmt::Debug for FactLoader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FactLoader({:?})", self.kind)
    }
}

/// The facts of one account.
#[derive(Clone, Default)]
pub struct Facts(Vec<(TypeId, Arc<dyn Any + Send + Sync>)>);

impl FactLoader {
    pub(crate) fn of<F: Fact>() -> Self {
        fn load<'a, F: Fact>(stores: &'a Stores, account: &'a Bare) -> FactFuture<'a> {
            Box::pin(async move { Ok(Arc::new(F::load(stores, account).await?) as Arc<dyn Any + Send + Sync>) })
        }
        Self {
            kind: TypeId::of::<F>(),
            load: load::<F>,
        }
    }
}

impl Facts {
    /// Loads every fact of `loaders` for `account`, all at once.
    ///
    /// # Errors
    /// The first store error.
    pub async fn load(loaders: &[FactLoader], stores: &Stores, account: &Bare) -> store::Result<Self> {
        let facts = loaders.iter().map(|loader| (loader.load)(stores, account));
        let facts = try_join_all(facts).await?;
        Ok(Self(loaders.iter().map(|loader| loader.kind).zip(facts).collect()))
    }

    /// Loads the fact of `loader` again.
    ///
    /// # Errors
    /// The store's.
    pub async fn reload(&mut self, loader: FactLoader, stores: &Stores, account: &Bare) -> store::Result<()> {
        let fact = (loader.load)(stores, account).await?;
        self.0.retain(|(kind, _)| *kind != loader.kind);
        self.0.push((loader.kind, fact));
        Ok(())
    }

    /// These facts with `fact` in the place of the old one of its type.
    #[must_use]
    pub fn with<F: Fact>(mut self, fact: F) -> Self {
        self.0.retain(|(kind, _)| *kind != TypeId::of::<F>());
        self.0.push((TypeId::of::<F>(), Arc::new(fact)));
        self
    }

    /// The fact of type `F`; `None` when no module declared it.
    pub fn get<F: Fact>(&self) -> Option<&F> {
        self.0
            .iter()
            .find(|(kind, _)| *kind == TypeId::of::<F>())
            .and_then(|(_, fact)| fact.downcast_ref())
    }
}

impl std::fmt::Debug for Facts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Facts({})", self.0.len())
    }
}
