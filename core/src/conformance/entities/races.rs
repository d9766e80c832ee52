//! Many clients at once, and clients that go away.

use super::*;

/// Exactly one of many writers that expect the same wins.
pub async fn concurrent_conditional_writers_have_one_winner(entities: Subject) {
    let mut tag = put(&entities, "a", "0").await.etag;
    for round in 0..20 {
        let writers = (0..8).map(|n| {
            let (entities, options) = (entities.clone(), when(Precondition::Matches(vec![tag])));
            tokio::spawn(async move {
                entities.put(&Principal::admin(), &id("db", "a"), document(&format!("{n}")), &options).await
            })
        });
        let mut won = Vec::new();
        for writer in writers.collect::<Vec<_>>() {
            match writer.await.unwrap() {
                Ok(written) => won.push(written.etag),
                Err(error) => assert_eq!(error.kind(), ErrorKind::PreconditionFailed),
            }
        }
        assert_eq!(won.len(), 1, "round {round}");
        tag = won[0];
    }
}

/// Without a precondition every write happens, each as its own version.
pub async fn concurrent_unconditional_writers_skip_no_version(entities: Subject) {
    let writers = (0..8).map(|n| {
        let entities = entities.clone();
        tokio::spawn(async move {
            let mut versions = Vec::new();
            for round in 0..10 {
                versions.push(put(&entities, "a", &format!("{}", n * 100 + round)).await.etag.version());
            }
            versions
        })
    });
    let mut versions = BTreeSet::new();
    for writer in writers.collect::<Vec<_>>() {
        versions.extend(writer.await.unwrap());
    }
    assert_eq!(versions, (1..=80).collect());
}

/// A read is never older than the last acknowledged write.
pub async fn a_reader_never_sees_an_older_version(entities: Subject) {
    put(&entities, "a", "1").await;
    let acknowledged = Arc::new(std::sync::atomic::AtomicU64::new(1));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (entities, acknowledged) = (entities.clone(), acknowledged.clone());
            tokio::spawn(async move {
                loop {
                    let at_least = acknowledged.load(std::sync::atomic::Ordering::SeqCst);
                    let read = entities.get(&Principal::admin(), &id("db", "a")).await.unwrap().etag.version();
                    assert!(read >= at_least, "read version {read} after {at_least} was acknowledged");
                    if read == 200 {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for _ in 2..=200 {
        let version = put(&entities, "a", "1").await.etag.version();
        acknowledged.store(version, std::sync::atomic::Ordering::SeqCst);
    }
    for reader in readers {
        reader.await.unwrap();
    }
}

/// A write whose caller went away is whole or absent, and the next one counts on from it.
pub async fn an_abandoned_write_is_whole_or_absent(entities: Subject) {
    put(&entities, "a", "\"first\"").await;
    for round in 0..50_u32 {
        let text = format!("\"{}\"", "x".repeat(1000 + round as usize));
        let writer = {
            let entities = entities.clone();
            tokio::spawn(async move { put(&entities, "a", &text).await })
        };
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        writer.abort();
        let _ = writer.await;
        let before = entities.get(&Principal::admin(), &id("db", "a")).await.unwrap();
        let length = before.document.bytes().len();
        assert!(length == 7 || (1002..=1052).contains(&length));
        let after = put(&entities, "a", "\"first\"").await;
        assert!(after.etag.version() > before.etag.version());
    }
}
