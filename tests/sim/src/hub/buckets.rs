//! Change logs in memory: a fact that is published again moves to the end.

use std::collections::{BTreeMap, BTreeSet};

use sync_protocol::Item;

#[derive(Debug, Clone, Default)]
struct Bucket {
    last: u64,
    facts: BTreeMap<String, (u64, Item)>,
}

/// All buckets of the hub.
#[derive(Debug, Clone, Default)]
pub struct Buckets {
    all: BTreeMap<String, Bucket>,
    changed: BTreeSet<String>,
}

impl Buckets {
    /// Publishes a fact and returns its change number.
    pub fn publish(&mut self, bucket: &str, key: &str, item: Item) -> u64 {
        self.changed.insert(bucket.to_owned());
        let bucket = self.all.entry(bucket.to_owned()).or_default();
        bucket.last += 1;
        bucket.facts.insert(key.to_owned(), (bucket.last, item));
        bucket.last
    }

    /// The newest change and the facts after a change, in order.
    pub fn after(&self, bucket: &str, after: u64) -> (u64, Vec<Item>) {
        let Some(bucket) = self.all.get(bucket) else {
            return (0, vec![]);
        };
        let mut facts: Vec<&(u64, Item)> = bucket
            .facts
            .values()
            .filter(|(change, _)| *change > after)
            .collect();
        facts.sort_by_key(|(change, _)| *change);
        (
            bucket.last,
            facts.into_iter().map(|(_, item)| item.clone()).collect(),
        )
    }

    /// The newest change of a bucket.
    pub fn last(&self, bucket: &str) -> u64 {
        self.all.get(bucket).map_or(0, |b| b.last)
    }

    /// The buckets that changed since this was last asked.
    pub fn take_changed(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.changed)
    }
}
