//! Settings of a router.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::Secret;

/// Settings of a router: sessions, queues, authentication and its place in the cluster.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What happens when a client asks for a resource that another session of the account has: `replace` ends the other one
    /// with a `conflict` stream error, `refuse` answers `conflict`, `rename` binds a resource made by the server.
    pub resource_conflict: ResourceConflict,
    /// Most sessions of one account; when it is reached, one without a stream gives way.
    pub sessions_per_account: u32,
    /// Most stanzas that wait for one slow client; beyond that the session is ended (nothing that can be kept is lost).
    pub queue_stanzas: u32,
    /// Most bytes that wait for one slow client.
    pub queue_bytes: u32,
    /// Most stanzas (presence, chat states) that are held back for a client that nobody looks at (XEP-0352) or that has no stream, of each
    /// sender the newest; with one more all are delivered. 0: none are.
    pub held: u32,
    /// So many stanzas are on their way to one client, not yet written (under stream management: not yet acknowledged), before what can be held
    /// back is, as for a client that nobody looks at: until those are written, or something comes that cannot wait. 0: never.
    pub crowd: u32,
    /// How long a session is kept for its client to resume once its stream is gone, in seconds (XEP-0198); clients may ask for less.
    /// 0: sessions end with their streams. Above 600, messages stay in the archive for as long at least, whatever the retention.
    pub resume_timeout_s: u32,
    /// Most messages that wait for one account while nobody is there to take them, unless the `offline` module says otherwise.
    pub kept_messages: u32,
    /// Most messages in the archive that one session is to get when there is room for them again; beyond that it is ended, and they
    /// wait for another. What waited when the session came does not count; but when twice as many messages (or twice as many as may wait while
    /// nobody is there, if that is more) are still to be taken by the account at all, further ones are refused (`service-unavailable`).
    pub owed_messages: u32,
    /// How many of the newest messages with one party are looked through for one that is taken back (XEP-0424); older ones stay as they are.
    pub retractable_messages: u32,
    /// When a message is delivered and acknowledged: `commit` waits until it is written to the archive, `relaxed` does not.
    pub durability: Durability,
    /// How often it is written what of the archive was taken, in seconds. What was taken since may be delivered again to old clients
    /// when a session's edge and its home are lost at once.
    pub mark_s: u64,
    /// Longest time that an answer to a query may take, in milliseconds.
    pub query_timeout_ms: u64,
    /// Most stanzas that one stanza may set off before the rest is dropped.
    pub steps: u32,
    /// Most accounts without sessions that are held in memory.
    pub idle_accounts: u32,
    /// How long an account without sessions is held in memory, in seconds.
    pub idle_account_s: u64,
    /// How long it is remembered that an account does not exist, in seconds.
    pub absent_account_s: u64,
    /// How often accounts are looked for that `dunlin user remove` has retired, in milliseconds.
    pub retired_ms: u64,
    /// How often archives are looked through for what is to be kept no longer (`modules.archive.max_age`, `max_messages`), in seconds.
    pub retain_s: u64,
    /// Most archives looked at, or batches of 1,000 messages removed, per second.
    pub retain_per_s: u32,
    /// External components (XEP-0114): services of other software that have domains of their own here, such as gateways and app servers.
    pub components: Vec<ComponentConfig>,
    /// Authentication.
    pub sasl: SaslConfig,
    /// The router's place in the cluster.
    pub cluster: ClusterConfig,
}

/// An external component.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ComponentConfig {
    /// Its domain: one below that of a virtual host, or any other that is not served here otherwise.
    pub domain: String,
    /// What it proves to know (or `secret_file`).
    pub secret: Secret,
}

/// When a message is delivered and acknowledged.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Once it is written to the archive: what was acknowledged is not lost when a node dies.
    #[default]
    Commit,
    /// At once; it is written behind. A router that is killed may lose the last messages.
    Relaxed,
}

/// What happens when a resource is asked for that is taken (RFC 6120, 7.7.2.2).
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ResourceConflict {
    /// The old session gets the stream error `conflict`.
    #[default]
    Replace,
    /// The new session gets the stanza error `conflict`.
    Refuse,
    /// The new session gets another resource.
    Rename,
}

/// What a router does when neither it nor any router that answers it reaches the membership store.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Blind {
    /// It goes on: a store that is away must not stop the sessions there are.
    #[default]
    Serve,
    /// It stops serving.
    Fence,
}

/// Settings of authentication.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SaslConfig {
    /// Most exchanges that wait for a client's response.
    pub exchanges: u32,
    /// How long an exchange waits for a client's response, in seconds.
    pub exchange_s: u64,
    /// Most password hashes computed at a time (PLAIN only; SCRAM leaves that to the client).
    pub hashing: u32,
    /// Failed attempts allowed to one client address within `failure_window_s`; 0: no limit.
    pub failures: u32,
    /// The time over which failed attempts are counted, in seconds.
    pub failure_window_s: u64,
    /// PBKDF2 iterations pretended for accounts that do not exist; must be what real ones have.
    pub iterations: u32,
    /// How long a token is good for its client to log in without a password, in seconds (FAST, XEP-0484): clients that stay away for
    /// longer need their password again.
    pub token_s: u64,
    /// The age at which a token is replaced when it is used, in seconds.
    pub token_rotation_s: u64,
    /// Most clients of one account that have tokens; beyond that, those that would end first lose theirs.
    pub tokens: u32,
}

/// Settings of a router's place in the cluster.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterConfig {
    /// How long a router that has gone silent counts as alive, in milliseconds.
    pub ttl_ms: u64,
    /// What a router does when neither it nor any router that answers it reaches the membership store: `serve` goes on with the slots it
    /// has, `fence` stops serving within `ttl_ms`, until the store is back. While a peer reaches the store, that one renews the lease.
    pub blind: Blind,
    /// Share of slots relative to other routers.
    pub weight: u32,
    /// Most slots that move away from routers that stay, per step.
    pub moves: u32,
    /// Longest time that a new home waits for edges to attach their sessions, in milliseconds.
    pub opening_ms: u64,
    /// Longest time that stanzas wait for a slot to open, in milliseconds.
    pub hold_ms: u64,
    /// Longest time that an old home waits for stanzas in work before it gives a slot away, in milliseconds.
    pub seal_ms: u64,
    /// How long an edge whose link broke may take to come back, in milliseconds.
    pub edge_grace_ms: u64,
    /// How often presence and locations are written behind, in milliseconds.
    pub write_behind_ms: u64,
    /// Longest time that a stopping router waits for its slots to be taken over, in milliseconds.
    pub drain_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            resource_conflict: ResourceConflict::default(),
            sessions_per_account: 20,
            queue_stanzas: 2_000,
            queue_bytes: 8 * 1024 * 1024,
            held: 100,
            crowd: 32,
            resume_timeout_s: 600,
            kept_messages: 1_000,
            owed_messages: 10_000,
            retractable_messages: 1_000,
            durability: Durability::default(),
            mark_s: 30,
            query_timeout_ms: 30_000,
            steps: 65_536,
            idle_accounts: 10_000,
            idle_account_s: 300,
            absent_account_s: 5,
            retired_ms: 1_000,
            retain_s: 3_600,
            retain_per_s: 100,
            components: Vec::new(),
            sasl: SaslConfig::default(),
            cluster: ClusterConfig::default(),
        }
    }
}

impl Default for SaslConfig {
    fn default() -> Self {
        Self {
            exchanges: 10_000,
            exchange_s: 60,
            hashing: 2,
            failures: 30,
            failure_window_s: 60,
            iterations: 10_000,
            token_s: 30 * 86_400,
            token_rotation_s: 86_400,
            tokens: 50,
        }
    }
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            ttl_ms: 5_000,
            blind: Blind::default(),
            weight: 100,
            moves: 512,
            opening_ms: 3_000,
            hold_ms: 10_000,
            seal_ms: 1_500,
            edge_grace_ms: 4_000,
            write_behind_ms: 15,
            drain_ms: 30_000,
        }
    }
}

/// Milliseconds of a setting as a duration.
pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_table_is_the_default() {
        assert_eq!(serde_json::from_str::<Config>("{}").unwrap(), Config::default());
        assert!(serde_json::from_str::<Config>(r#"{"resource_conflicts": "refuse"}"#).is_err());
    }
}
