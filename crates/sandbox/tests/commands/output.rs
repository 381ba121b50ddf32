//! Output and input: complete where it fits, bounded where it does not, never blocking.

use std::time::Duration;

use phoenix_sandbox::{CommandSpec, Ended};

use crate::lab::{output_of, run, shell};

crate::tests![
    both_streams_are_captured_apart,
    of_much_output_the_first_and_the_last_bytes_are_kept,
    gigabytes_of_output_cost_little_memory,
    endless_output_does_not_hold_up_the_time_limit,
    output_that_is_not_text_is_kept_byte_by_byte,
    input_larger_than_any_pipe_arrives_whole,
    without_input_there_is_nothing_to_read,
    a_command_that_does_not_read_its_input_is_not_waited_for,
    a_command_may_close_its_output_and_go_on,
];

fn both_streams_are_captured_apart() {
    let finished = run(&shell("echo out; echo err >&2; echo out again"));
    assert_eq!(finished.stdout.text(), "out\nout again\n");
    assert_eq!(finished.stderr.text(), "err\n");
    assert!(!finished.stdout.truncated() && !finished.stderr.truncated());
}

fn of_much_output_the_first_and_the_last_bytes_are_kept() {
    let finished = run(&shell("seq 100000").output_limit(20));
    assert_eq!(finished.stdout.bytes, b"1\n2\n3\n4\n5\n99\n100000\n");
    assert_eq!((finished.stdout.total, finished.stdout.cut), (588_895, Some(10)));
}

fn gigabytes_of_output_cost_little_memory() {
    const SIZE: u64 = 3 << 30;
    let finished = run(&shell(&format!("head -c {SIZE} /dev/zero; grep VmHWM /proc/$PPID/status >&2")));
    assert_eq!(finished.ended, Ended::Exited(0));
    assert_eq!(finished.stdout.total, SIZE);
    assert_eq!(finished.stdout.bytes.len(), CommandSpec::OUTPUT_LIMIT);
    let text = finished.stderr.text();
    let peak: u64 = text.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(peak < 16 * 1024, "the supervisor used {peak} KiB");
}

fn endless_output_does_not_hold_up_the_time_limit() {
    let finished = run(&shell("yes; yes").timeout(Duration::from_millis(200)));
    assert_eq!(finished.ended, Ended::TimedOut { killed: false });
    assert!(finished.stdout.truncated());
}

fn output_that_is_not_text_is_kept_byte_by_byte() {
    assert_eq!(run(&shell(r"printf '\000\377\n\300'")).stdout.bytes, [0, 255, b'\n', 192]);
}

fn input_larger_than_any_pipe_arrives_whole() {
    let input: Vec<u8> = (0..3_000_000u32).map(|number| (number % 251) as u8).collect();
    let spec = CommandSpec::new(["/bin/cat"]).stdin(input.clone()).output_limit(8_000_000);
    assert_eq!(run(&spec).stdout.bytes, input);
    assert_eq!(output_of(&CommandSpec::new(["/bin/cat"]).stdin(Vec::new())), "");
}

fn without_input_there_is_nothing_to_read() {
    assert_eq!(output_of(&shell("cat; readlink /proc/self/fd/0")), "/dev/null\n");
}

fn a_command_that_does_not_read_its_input_is_not_waited_for() {
    assert_eq!(output_of(&shell("echo done").stdin(vec![b'x'; 3_000_000])), "done\n");
}

fn a_command_may_close_its_output_and_go_on() {
    assert_eq!(run(&shell("exec >&- 2>&-; sleep 0.1; exit 6")).ended, Ended::Exited(6));
}
