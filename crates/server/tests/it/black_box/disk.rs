//! A disk that is full: events are turned away, nothing is lost, and it goes on once there is room.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Client, Receiver, Server, Setup, eventually};

/// How the disk is made small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wall {
    /// A file system of its own, in a mount namespace that ends with the process.
    FileSystem,
    /// A limit on the size of files, where mounting is not permitted.
    FileSize,
}

impl Wall {
    fn best() -> Self {
        let may_mount = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
        if may_mount.is_ok_and(|output| output.status.success()) { Self::FileSystem } else { Self::FileSize }
    }

    pub(crate) fn setup(self) -> Setup {
        let setup = Setup::new();
        let data_dir = setup.data_dir();
        std::fs::create_dir(&data_dir).unwrap();
        let data_dir = data_dir.to_string_lossy();
        match self {
            Self::FileSystem => {
                let script = format!("mount -t tmpfs -o size=4m tmpfs '{data_dir}' && exec \"$@\"");
                setup.wrapped_in(&["unshare", "-rm", "sh", "-c", &script, "sh"])
            }
            // Without the signal a write beyond the limit is an error like that of a full disk.
            Self::FileSize => setup.wrapped_in(&["sh", "-c", "trap '' XFSZ; ulimit -S -f 4096; exec \"$@\"", "sh"]),
        }
    }

    /// Takes what room is left.
    fn fill(self, server: &Server, setup: &Setup) {
        match self {
            Self::FileSystem => {
                // An error is what is wanted: no room is left.
                let full = std::fs::write(filler(server, setup), vec![0; 8 << 20]);
                assert!(full.is_err());
            }
            Self::FileSize => set_file_size_max(server, "65536"),
        }
    }

    fn free(self, server: &Server, setup: &Setup) {
        match self {
            Self::FileSystem => std::fs::remove_file(filler(server, setup)).unwrap(),
            Self::FileSize => set_file_size_max(server, "unlimited"),
        }
    }
}

/// A file beside the database, as the process sees it.
fn filler(server: &Server, setup: &Setup) -> PathBuf {
    let inside = setup.data_dir().join("filler");
    PathBuf::from(format!("/proc/{}/root{}", server.process.id(), inside.display()))
}

/// From here on nothing may be written beyond so many bytes of a file.
pub(crate) fn set_file_size_max(server: &Server, bytes: &str) {
    let pid = server.process.id().to_string();
    let status = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}:")]).status();
    assert!(status.expect("prlimit").success());
}

/// Posts events with large payloads until one is turned away; how many were kept.
async fn post_until_refused(client: &Client) -> usize {
    let event = json!({"type": "a", "data": {"x": "x".repeat(20_000)}});
    for kept in 0..1000 {
        let answer = client.post("/v1/events", &event).await;
        if answer.status != 202 {
            let problem = answer.problem(503);
            assert!(problem.detail.contains("nothing was kept"), "{problem:?}");
            assert!(answer.header("retry-after").is_some());
            return kept;
        }
    }
    panic!("the disk takes everything");
}

async fn check(wall: Wall) {
    let setup = wall.setup();
    let server = setup.start().await;
    let receiver = Receiver::start().await;
    server.client.webhook(&receiver.url("/"), json!({})).await;
    let before = server.client.accept_one("a", json!({})).await;
    server.client.delivery_once(before, "sent").await;

    wall.fill(&server, &setup);
    let kept = post_until_refused(&server.client).await;
    server
        .client
        .post("/v1/channels", &json!({"name": "x", "provider": "webhook", "config": {"url": "http://x.test"}}))
        .await
        .problem(503);
    // What was kept is sent all the same, and what is there can be read.
    receiver.wait_for("/", 1 + kept).await;
    server.client.get("/healthz").await.read::<Value>(200);
    assert_eq!(server.client.delivery(before).await.status, "sent");

    wall.free(&server, &setup);
    let event = json!({"type": "a", "data": {"after": true}});
    eventually("an event is accepted again", async || {
        (server.client.post("/v1/events", &event).await.status == 202).then_some(())
    })
    .await;
    eventually("everything is settled", async || {
        (server.client.deliveries("status=sent&limit=200").await.len() == kept + 2).then_some(())
    })
    .await;
    assert_eq!(receiver.count("/"), kept + 2, "each once, though the results had to wait");
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn a_full_disk_turns_events_away_and_loses_nothing() {
    check(Wall::best()).await;
}

#[tokio::test]
async fn a_file_that_may_not_grow_turns_events_away_and_loses_nothing() {
    check(Wall::FileSize).await;
}
