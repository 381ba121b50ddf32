use std::sync::Barrier;
use std::sync::mpsc::channel;

use super::*;

fn lane(max_threads: usize) -> Lane<()> {
    Lane::new("test", max_threads, drop)
}

fn key(name: &str) -> Vec<Key> {
    vec![Key::Target(name.to_owned())]
}

#[test]
fn jobs_with_a_common_key_never_overlap_and_keep_their_order() {
    let lane = lane(8);
    let inside = Arc::new(Mutex::new(()));
    let (done, results) = channel();
    for number in 0..100 {
        let (inside, done) = (Arc::clone(&inside), done.clone());
        assert!(lane.submit(1, key("a"), move || {
            let alone = inside.try_lock().is_ok();
            done.send((number, alone)).unwrap();
        }));
    }
    let seen: Vec<_> = results.iter().take(100).collect();
    assert_eq!(seen, (0..100).map(|number| (number, true)).collect::<Vec<_>>());
}

#[test]
fn a_job_that_hangs_holds_up_only_those_that_share_its_key() {
    let lane = lane(2);
    let (release, gate) = channel::<()>();
    let (done, results) = channel();
    lane.submit(1, key("slow"), move || gate.recv().unwrap());
    for name in ["slow", "other", "third"] {
        let done = done.clone();
        lane.submit(1, key(name), move || done.send(name).unwrap());
    }
    assert_eq!([results.recv().unwrap(), results.recv().unwrap()], ["other", "third"]);
    release.send(()).unwrap();
    assert_eq!(results.recv().unwrap(), "slow");
}

#[test]
fn a_job_with_two_keys_is_not_overtaken_for_ever() {
    let mut state = State::<()>::default();
    state.busy.insert(Key::Target("a".into()));
    for keys in [vec!["a", "b"], vec!["b"], vec!["c"]] {
        let keys = keys.into_iter().map(|name| Key::Target(name.to_owned())).collect();
        state.waiting.push_back(Job { owner: 1, keys, work: Work::Alone(Box::new(|| ())) });
    }
    assert_eq!(state.take()[0].keys, key("c"));
    assert!(state.take().is_empty(), "b waits behind a+b");
    state.busy.remove(&Key::Target("a".into()));
    assert_eq!(state.take()[0].keys.len(), 2);
}

/// A look at a pair in a target root.
fn look(root: usize, pair: usize) -> Job<usize> {
    let keys = vec![Key::Pair(pair.to_string())];
    Job { owner: 1, keys, work: Work::Together(Group::from([root]), pair) }
}

fn items(jobs: Vec<Job<usize>>) -> Vec<usize> {
    let item = |job: Job<usize>| match job.work {
        Work::Alone(_) => None,
        Work::Together(_, item) => Some(item),
    };
    jobs.into_iter().filter_map(item).collect()
}

#[test]
fn looks_of_one_group_are_taken_together_and_no_others() {
    let mut state = State::default();
    state.busy.insert(Key::Pair("2".into()));
    for (root, pair) in [(0, 1), (0, 2), (1, 3), (0, 1), (0, 4)] {
        state.waiting.push_back(look(root, pair));
    }
    state.waiting.push_back(Job { owner: 1, keys: key("a"), work: Work::Alone(Box::new(|| ())) });
    assert_eq!(state.wanted(), 3);
    assert_eq!(items(state.take()), [1, 4], "2 is busy, and 1 only once at a time");
    assert_eq!(items(state.take()), [3]);
    assert!(items(state.take()).is_empty() && state.waiting.len() == 2);
}

#[test]
fn so_many_threads_at_most_work_for_a_group() {
    let mut state = State::default();
    for pair in 0..TOGETHER * (GATHERERS + 1) {
        state.waiting.push_back(look(0, pair));
    }
    state.waiting.push_back(look(1, 1_000));
    for round in 0..GATHERERS {
        let expected: Vec<_> = (round * TOGETHER..(round + 1) * TOGETHER).collect();
        assert_eq!(items(state.take()), expected);
    }
    assert_eq!(items(state.take()), [1_000], "the other root is none of theirs");
    assert!(state.take().is_empty());
    state.scatter(&Group::from([0]));
    assert_eq!(state.take().len(), TOGETHER);
}

#[test]
fn jobs_that_do_not_share_a_key_run_at_the_same_time() {
    let lane = lane(3);
    let meeting = Arc::new(Barrier::new(3));
    let (done, results) = channel();
    // The second round finds threads that wait.
    for round in 0..2 {
        for name in ["a", "b", "c"] {
            let (meeting, done) = (Arc::clone(&meeting), done.clone());
            assert!(lane.submit(1, key(name), move || {
                meeting.wait();
                done.send(round).unwrap();
            }));
        }
        assert_eq!(results.iter().take(3).collect::<Vec<_>>(), [round; 3]);
    }
}

#[test]
fn keys_that_become_free_let_all_begin_that_waited_for_them() {
    let lane = lane(3);
    let (release, gate) = channel::<()>();
    let meeting = Arc::new(Barrier::new(2));
    let (done, results) = channel();
    lane.submit(1, [key("a"), key("b")].concat(), move || assert!(gate.recv().is_err()));
    for name in ["a", "b"] {
        let (meeting, done) = (Arc::clone(&meeting), done.clone());
        lane.submit(1, key(name), move || {
            meeting.wait();
            done.send(()).unwrap();
        });
    }
    drop(release);
    assert_eq!(results.iter().take(2).count(), 2);
}

#[test]
fn jobs_that_wait_for_each_other_need_one_thread() {
    let lane = lane(8);
    let (done, results) = channel();
    for _ in 0..3 {
        let done = done.clone();
        lane.submit(1, key("a"), move || done.send(()).unwrap());
    }
    assert_eq!(results.iter().take(3).count(), 3);
    assert_eq!(lane.0.lock().threads, 1);
}

#[test]
fn closing_waits_for_what_runs_and_drops_what_waits() {
    let lane = lane(1);
    let (started, wait) = channel();
    let (release, gate) = channel::<()>();
    let (done, results) = channel();
    let finished = done.clone();
    lane.submit(1, vec![], move || {
        started.send(()).unwrap();
        gate.recv().unwrap();
        finished.send("running").unwrap();
    });
    wait.recv().unwrap();
    lane.submit(1, vec![], move || done.send("waiting").unwrap());
    let closing = std::thread::spawn({
        let lane = lane.clone();
        move || lane.close()
    });
    while lane.submit(1, vec![], || ()) {
        std::thread::yield_now();
    }
    release.send(()).unwrap();
    closing.join().unwrap();
    assert_eq!(results.iter().collect::<Vec<_>>(), ["running"]);
}

#[test]
fn what_a_lost_owner_left_waiting_is_dropped_and_stands_in_nobodys_way() {
    let lane = lane(2);
    let (started, wait) = channel();
    let (release, gate) = channel::<()>();
    let (done, results) = channel();
    let (running, waiting, other) = (done.clone(), done.clone(), done);
    lane.submit(1, key("a"), move || {
        started.send(()).unwrap();
        gate.recv().unwrap();
        running.send("running").unwrap();
    });
    wait.recv().unwrap();
    let both = vec![Key::Target("a".into()), Key::Target("b".into())];
    lane.submit(1, both, move || waiting.send("waiting").unwrap());
    lane.submit(2, key("b"), move || other.send("other").unwrap());
    lane.forget(1);
    assert_eq!(results.recv().unwrap(), "other");
    release.send(()).unwrap();
    assert_eq!(results.iter().collect::<Vec<_>>(), ["running"]);
}

#[test]
fn a_panic_frees_its_keys() {
    let lane = lane(1);
    let (done, results) = channel();
    lane.submit(1, key("a"), || panic!("on purpose"));
    lane.submit(1, key("a"), move || done.send(()).unwrap());
    results.recv().unwrap();
}
