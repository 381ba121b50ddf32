use std::fs;

use phoenix_protocol::history::Record;

use super::*;

const AT: Timestamp = Timestamp::from_unix(1000);

fn everything() -> Wanted {
    Wanted { name: None, after: 0, limit: usize::MAX }
}

fn numbers(lines: &[Line]) -> Vec<u64> {
    lines.iter().map(|line| line.seq).collect()
}

async fn end(history: History, thread: std::thread::JoinHandle<()>) {
    drop(history);
    tokio::task::spawn_blocking(|| thread.join().unwrap()).await.unwrap();
}

#[tokio::test]
async fn what_was_noted_is_read_back_by_name_and_number_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (history, thread) = History::start(dir.path()).unwrap();
    for name in ["a", "b", "a"] {
        history.note([name], Happening::Added, AT);
    }
    let of_a = Wanted { name: Some("a".into()), ..everything() };
    assert_eq!(numbers(&history.read(of_a.clone()).await), [1, 3]);
    assert_eq!(numbers(&history.read(Wanted { limit: 1, ..of_a }).await), [3]);
    end(history, thread).await;
    let (history, thread) = History::start(dir.path()).unwrap();
    history.note([], Happening::ClockSet, AT);
    let lines = history.read(Wanted { after: 2, ..everything() }).await;
    assert_eq!(numbers(&lines), [3, 4]);
    let last: Record = serde_json::from_slice(&lines[1].text).unwrap();
    assert_eq!(last, Record { seq: 4, at: AT, names: vec![], what: Happening::ClockSet });
    end(history, thread).await;
}

#[tokio::test]
async fn a_torn_last_line_costs_itself_only() {
    let dir = tempfile::tempdir().unwrap();
    let (history, thread) = History::start(dir.path()).unwrap();
    history.note(["a"], Happening::Added, AT);
    history.note(["a"], Happening::Removed, AT);
    end(history, thread).await;
    let path = dir.path().join(reader::NEWER);
    let text = fs::read(&path).unwrap();
    let first = text.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for cut in first + 1..text.len() {
        fs::write(&path, &text[..cut]).unwrap();
        let (history, thread) = History::start(dir.path()).unwrap();
        history.note(["b"], Happening::Added, AT);
        let whole = cut + 1 == text.len();
        let expected: &[u64] = if whole { &[1, 2, 3] } else { &[1, 2] };
        assert_eq!(numbers(&history.read(everything()).await), expected, "cut at {cut}");
        end(history, thread).await;
    }
}

#[tokio::test]
async fn the_files_do_not_grow_without_bound_and_keep_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    let (history, thread) = History::start(dir.path()).unwrap();
    let text = "x".repeat(60_000);
    for number in 0..300 {
        let what = Happening::Manifest {
            state: phoenix_protocol::executor::ManifestState::Stale,
            error: Some(text.clone()),
        };
        history.note([], what, AT);
        if number % 50 == 0 {
            history.flush().await;
        }
    }
    let kept = numbers(&history.read(everything()).await);
    assert_eq!(kept.last(), Some(&300));
    assert!(kept.windows(2).all(|pair| pair[1] == pair[0] + 1), "{kept:?}");
    let size: u64 = [reader::OLDER, reader::NEWER]
        .iter()
        .map(|name| fs::metadata(dir.path().join(name)).unwrap().len())
        .sum();
    assert!(size <= 2 * writer::LARGEST, "{size}");
    end(history, thread).await;
}

#[tokio::test]
async fn a_disk_that_takes_nothing_is_told_and_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let gone = dir.path().join("gone");
    let (history, thread) = History::start(&gone).unwrap();
    for _ in 0..3 * QUEUE {
        history.note(["a"], Happening::Added, AT);
    }
    assert!(history.read(everything()).await.is_empty());
    assert!(history.problem().unwrap().contains("cannot be written"), "{:?}", history.problem());
    // It is taken up again by itself.
    fs::create_dir(&gone).unwrap();
    history.note(["a"], Happening::Removed, AT);
    let lines = history.read(everything()).await;
    let last: Record = serde_json::from_slice(&lines.last().unwrap().text).unwrap();
    assert_eq!(last.what, Happening::Removed);
    assert_eq!(history.problem(), None);
    end(history, thread).await;
}

#[tokio::test]
async fn listeners_get_what_happens_in_order_and_a_slow_one_is_told_that_it_lags() {
    let dir = tempfile::tempdir().unwrap();
    let (history, thread) = History::start(dir.path()).unwrap();
    let mut quick = history.listen().unwrap();
    let mut slow = history.listen().unwrap();
    for number in 1..=2 * LAG as u64 {
        history.note(["a"], Happening::Added, AT);
        assert_eq!(quick.recv().await.unwrap().seq, number);
    }
    assert!(matches!(slow.recv().await, Err(broadcast::error::RecvError::Lagged(_))));
    let listeners: Vec<_> = std::iter::from_fn(|| history.listen()).take(1000).collect();
    assert!(listeners.len() < 100, "{}", listeners.len());
    end(history, thread).await;
}
