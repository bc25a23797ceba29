//! Last presence per session in Redis: standalone, behind sentinels, or a Redis Cluster.
//!
//! A slot's records are fields (the full address) of [`BUCKETS`] hashes `p:{SLOT}:BUCKET`, so that each hash stays small; the
//! hash tag keeps a slot on one shard, and a batch is one pipeline. `gen:{SLOT}` tells whether the data is still what was
//! written: it goes when Redis loses its memory. Redis must not evict keys (`maxmemory-policy noeviction`); hashes stay compact
//! with `hash-max-listpack-value 512`.

mod config;
mod link;
mod record;
mod sentinel;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use redis::{Pipeline, Value, from_redis_value};
use stanza::Full;
use store::{Error, Presence, PresenceRecord, Result};
use topology::Slot;

pub use config::Config;

use crate::observe::At;
use link::Link;

/// Last presence per session: [`store::Presence`].
pub struct Redis {
    link: Link,
    prefix: String,
    timeout: Duration,
}

/// How many hashes a slot's records are spread over. Part of what is stored: to change it, clear Redis.
const BUCKETS: u32 = 32;

const AT: At = At {
    backend: "redis",
    port: "presence",
};

impl Redis {
    /// Prepares the connection, which is made when first needed, and again when it broke.
    ///
    /// # Errors
    /// `Corrupt` when a URL cannot be understood.
    pub fn connect(config: &Config) -> Result<Self> {
        Ok(Self {
            link: Link::new(config)?,
            prefix: config.prefix.clone(),
            timeout: config.timeout,
        })
    }

    fn generation_key(&self, slot: Slot) -> String {
        format!("{}gen:{{{}}}", self.prefix, slot.index())
    }

    fn bucket_key(&self, slot: Slot, bucket: u32) -> String {
        format!("{}p:{{{}}}:{bucket}", self.prefix, slot.index())
    }

    /// Reads the generation, then writes the newest word on each session.
    fn write(&self, slot: Slot, records: &[(Full, Option<PresenceRecord>)]) -> Pipeline {
        let mut pipe = redis::pipe();
        pipe.cmd("GET").arg(self.generation_key(slot));
        for (bucket, sessions) in by_bucket(records) {
            let key = self.bucket_key(slot, bucket);
            let (put, gone): (Vec<_>, Vec<_>) = sessions.into_iter().partition(|(_, record)| record.is_some());
            if !put.is_empty() {
                let fields = put
                    .into_iter()
                    .filter_map(|(jid, record)| Some((jid.as_str(), record::encode(record?))));
                pipe.cmd("HSET").arg(&key).arg(fields.collect::<Vec<_>>()).ignore();
            }
            if !gone.is_empty() {
                let fields = gone.iter().map(|(jid, _)| jid.as_str());
                pipe.cmd("HDEL").arg(&key).arg(fields.collect::<Vec<_>>()).ignore();
            }
        }
        pipe
    }

    /// Makes a generation if there is none, reads it, then all hashes.
    fn read(&self, slot: Slot) -> Pipeline {
        let (mut pipe, key) = (redis::pipe(), self.generation_key(slot));
        pipe.cmd("SET").arg(&key).arg(rand::random::<u64>()).arg("NX").ignore();
        pipe.cmd("GET").arg(&key);
        for bucket in 0..BUCKETS {
            pipe.cmd("HGETALL").arg(self.bucket_key(slot, bucket));
        }
        pipe
    }
}

#[async_trait]
impl Presence for Redis {
    async fn put(&self, slot: Slot, generation: u64, records: &[(Full, Option<PresenceRecord>)]) -> Result<bool> {
        AT.call_within(self.timeout, "put", async {
            let (found,): (Option<u64>,) = self.link.ask(&self.write(slot, records)).await?;
            Ok(found == Some(generation))
        })
        .await
    }

    async fn load(&self, slot: Slot) -> Result<(u64, Vec<PresenceRecord>)> {
        AT.call_within(self.timeout, "load", async {
            let mut answers = self.link.ask::<Vec<Value>>(&self.read(slot)).await?.into_iter();
            let generation = answers.next().and_then(|answer| from_redis_value(answer).ok());
            let generation =
                generation.ok_or_else(|| Error::Corrupt(format!("generation of slot {}", slot.index())))?;
            Ok((generation, answers.flat_map(bucket_records).collect()))
        })
        .await
    }
}

type Sessions<'a> = BTreeMap<&'a Full, Option<&'a PresenceRecord>>;

/// The last word on each session, by bucket. A bucket holds all resources of an account.
fn by_bucket(records: &[(Full, Option<PresenceRecord>)]) -> BTreeMap<u32, Sessions<'_>> {
    let mut buckets: BTreeMap<u32, Sessions<'_>> = BTreeMap::new();
    for (jid, record) in records {
        buckets.entry(bucket(jid)).or_default().insert(jid, record.as_ref());
    }
    buckets
}

/// FNV-1a, 32 bits: of the bare address, stable across releases.
fn bucket(jid: &Full) -> u32 {
    let bare = jid.bare();
    let hash = bare.as_str().bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    (hash ^ (hash >> 16)) % BUCKETS
}

/// The records of one hash. What cannot be understood is soft state of nobody, and left out.
fn bucket_records(answer: Value) -> Vec<PresenceRecord> {
    let fields: Vec<(Vec<u8>, Vec<u8>)> = from_redis_value(answer).unwrap_or_default();
    let read =
        |(jid, value): &(Vec<u8>, Vec<u8>)| record::decode(Full::parse(std::str::from_utf8(jid).ok()?).ok()?, value);
    let records: Vec<_> = fields.iter().filter_map(read).collect();
    if records.len() < fields.len() {
        let left_out = fields.len() - records.len();
        tracing::warn!(left_out, "presence records in Redis cannot be understood");
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_spread_evenly_and_stay_together() {
        let mut counts = [0_u32; BUCKETS as usize];
        for n in 0..3_200 {
            let [phone, desk] =
                ["phone", "desk"].map(|resource| Full::parse(&format!("user-{n}@x.example/{resource}")).unwrap());
            assert_eq!(bucket(&phone), bucket(&desk));
            counts[bucket(&phone) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (50..200).contains(count)), "{counts:?}");
    }
}
