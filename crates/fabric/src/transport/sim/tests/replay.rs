//! One seed, one run.

use std::sync::Mutex;

use tokio::{io::AsyncReadExt as _, time::sleep};

use super::*;
use crate::transport::CloseCode;

/// A minute in the life of three devices on a bad network; the hash of all that happened, and how much that was.
fn run(seed: u64) -> (blake3::Hash, u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let trace = Arc::new(Mutex::new((blake3::Hasher::new(), 0)));
    let log = trace.clone();
    runtime.block_on(async {
        let net = SimNet::new(seed);
        net.on_event(move |event| {
            let mut log = log.lock().unwrap();
            log.0.update(format!("{event}\n").as_bytes());
            log.1 += 1;
        });
        net.set_default(Conditions::wireless().with_bandwidth(1_000_000));
        let devices = [A, B, C].map(|id| net.transport(id, addr(id.as_bytes()[0])));
        for device in &devices {
            let device = device.clone();
            tokio::spawn(async move {
                while let Some(connection) = device.accept().await {
                    tokio::spawn(echo(connection));
                }
            });
        }
        for (n, from) in devices.iter().enumerate() {
            for to in devices.iter().skip(n + 1) {
                tokio::spawn(ask(from.clone(), to.clone()));
            }
        }
        sleep(secs(10)).await;
        net.partition(&[&[A], &[B, C]]);
        sleep(secs(10)).await;
        net.heal();
        net.crash(C);
        sleep(secs(40)).await;
    });
    let trace = trace.lock().unwrap();
    (trace.0.finalize(), trace.1)
}

async fn echo(connection: Arc<dyn Connection>) {
    while let Ok((mut send, mut recv)) = connection.accept_bi().await {
        tokio::spawn(async move {
            tokio::io::copy(&mut recv, &mut send).await?;
            send.shutdown().await
        });
    }
}

async fn ask(from: Arc<SimTransport>, to: Arc<SimTransport>) {
    loop {
        let dial = from.connect(to.local_id(), vec![addr(to.local_id().as_bytes()[0])], Protocol::Pool, secs(5));
        let Ok(connection) = dial.await else { continue };
        while let Ok((mut send, mut recv)) = connection.open_bi().await {
            let _lost = connection.send_datagram(Bytes::from_static(b"ping"));
            let mut back = Vec::new();
            let exchange = async {
                send.write_all(&[1; 5000]).await?;
                send.shutdown().await?;
                recv.read_to_end(&mut back).await
            };
            if timeout(secs(3), exchange).await.is_err() {
                connection.close(CloseCode::SILENT, "no answer");
            }
            sleep(millis(300)).await;
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let (first, events) = run(7);
    assert!(events > 1000, "only {events} events");
    assert_eq!(run(7), (first, events));
    assert_ne!(run(8).0, first);
}
