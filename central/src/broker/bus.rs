//! The bus of a hub without a broker: queues are rows of Postgres.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use domain::ids::CompanyId;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::db::{self, Taken};
use super::{Away, Broker, DeadLetter, Failed, Handler, Message, Queue, Reply};
use crate::clock;
use crate::db::{Db, DbError};

/// How often somebody looks for what is due, unless woken before.
const LOOK: Duration = Duration::from_millis(250);
/// A pause after the database failed.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Messages in hand at once.
const AT_ONCE: i32 = 32;
/// A message in hand for so long was left behind by a process that died, in milliseconds.
const IN_HAND_MS: i64 = 120_000;
/// Dead letters that one command moves.
const DEAD_MAX: i32 = 100_000;

impl From<DbError> for Away {
    fn from(error: DbError) -> Self {
        Self(error.to_string())
    }
}

/// A message and what came of its try.
type Handled = (Taken, Result<(), Failed>);

/// Queues as rows of the hub's own database.
#[derive(Debug)]
pub struct Bus {
    db: Db,
    queues: Vec<Queue>,
    news: Notify,
}

impl Bus {
    /// A bus with these queues.
    pub fn new(db: Db, queues: Vec<Queue>) -> Self {
        Self {
            db,
            queues,
            news: Notify::new(),
        }
    }

    async fn take_over(&self, messages: &[Message]) -> Result<(), DbError> {
        let mut by_company: BTreeMap<CompanyId, Vec<&Message>> = BTreeMap::new();
        for message in messages {
            by_company.entry(message.company).or_default().push(message);
        }
        for (company, messages) in by_company {
            let mut tx = self.db.tenant(company).await?;
            for queue in &self.queues {
                let wanted = messages.iter().filter(|m| queue.wants(&m.kind));
                let wanted: Vec<&Message> = wanted.copied().collect();
                if !wanted.is_empty() {
                    db::put(&mut tx, &queue.name, &wanted, clock::now()).await?;
                }
            }
            tx.commit().await?;
        }
        self.news.notify_waiters();
        Ok(())
    }

    /// One round; how many messages were in hand.
    async fn turn(&self, queue: &Queue, handler: &Arc<dyn Handler>) -> Result<usize, DbError> {
        let now = clock::now();
        let due = db::due(&self.db, &queue.name, now, AT_ONCE).await?;
        let mut working = JoinSet::new();
        for (company, numbers) in grouped(due) {
            let mut tx = self.db.tenant(company).await?;
            let until = now.plus_ms(IN_HAND_MS);
            let taken = db::take(&mut tx, &numbers, (now, until)).await?;
            tx.commit().await?;
            for one in taken {
                let handler = Arc::clone(handler);
                working.spawn(async move {
                    let handled = handler.handle(&one.message).await;
                    (one, handled)
                });
            }
        }
        // A handler that panicked has told the log; its message comes again after a while.
        let mut ended: BTreeMap<CompanyId, Vec<Handled>> = BTreeMap::new();
        let mut count = 0;
        while let Some(done) = working.join_next().await {
            count += 1;
            if let Ok((one, handled)) = done {
                let company = one.message.company;
                ended.entry(company).or_default().push((one, handled));
            }
        }
        for (company, ended) in ended {
            self.settle(queue, company, ended).await?;
        }
        Ok(count)
    }

    async fn settle(
        &self,
        queue: &Queue,
        company: CompanyId,
        ended: Vec<Handled>,
    ) -> Result<(), DbError> {
        let now = clock::now();
        let mut tx = self.db.tenant(company).await?;
        let mut done = vec![];
        for (one, handled) in ended {
            let Err(Failed(why)) = handled else {
                done.push(one.no);
                continue;
            };
            let wait = queue.delay_ms(one.tries);
            let again = wait.map(|ms| now.plus_ms(i64::from(ms)));
            let event = one.message.event;
            tracing::warn!(queue = queue.name, %event, tries = one.tries, why, "a message failed");
            db::failed(&mut tx, one.no, (&why, again), now).await?;
        }
        db::done(&mut tx, &done).await?;
        tx.commit().await
    }
}

fn grouped(found: Vec<(CompanyId, i64)>) -> BTreeMap<CompanyId, Vec<i64>> {
    let mut groups: BTreeMap<CompanyId, Vec<i64>> = BTreeMap::new();
    for (company, number) in found {
        groups.entry(company).or_default().push(number);
    }
    groups
}

impl Broker for Bus {
    fn name(&self) -> &'static str {
        "in-process"
    }

    fn queues(&self) -> &[Queue] {
        &self.queues
    }

    fn look(&self) -> Reply<'_, ()> {
        // Its rows are the database's, which is looked at by itself.
        Box::pin(async { Ok(()) })
    }

    fn publish<'a>(&'a self, messages: &'a [Message]) -> Reply<'a, ()> {
        Box::pin(async move { Ok(self.take_over(messages).await?) })
    }

    fn consume<'a>(
        &'a self,
        queue: &'a Queue,
        handler: Arc<dyn Handler>,
        mut stopping: watch::Receiver<bool>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            while !*stopping.borrow() {
                let news = self.news.notified();
                let pause = match self.turn(queue, &handler).await {
                    Ok(0) => LOOK,
                    Ok(_) => continue,
                    Err(error) => {
                        tracing::warn!(%error, queue = queue.name, "the bus tries again");
                        AGAIN_AFTER
                    }
                };
                tokio::select! {
                    () = news => {}
                    () = tokio::time::sleep(pause) => {}
                    _ = stopping.wait_for(|stop| *stop) => {}
                }
            }
        })
    }

    fn dead_letters<'a>(&'a self, queue: &'a Queue, most: usize) -> Reply<'a, Vec<DeadLetter>> {
        Box::pin(async move {
            let most = i32::try_from(most).unwrap_or(DEAD_MAX).min(DEAD_MAX);
            let mut letters = vec![];
            for (company, numbers) in grouped(db::dead(&self.db, &queue.name, most).await?) {
                let mut tx = self.db.tenant(company).await?;
                letters.extend(db::dead_letters(&mut tx, &numbers).await?);
                tx.rollback().await?;
            }
            letters.sort_by_key(|letter| letter.dead_at_ms);
            Ok(letters)
        })
    }

    fn replay<'a>(&'a self, queue: &'a Queue, only: Option<Uuid>) -> Reply<'a, u64> {
        Box::pin(async move {
            let mut count = 0;
            for (company, numbers) in grouped(db::dead(&self.db, &queue.name, DEAD_MAX).await?) {
                let mut tx = self.db.tenant(company).await?;
                count += db::revive(&mut tx, &numbers, only, clock::now()).await?;
                tx.commit().await?;
            }
            self.news.notify_waiters();
            Ok(count)
        })
    }
}
