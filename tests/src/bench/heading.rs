//! Under what circumstances figures were taken.

use std::fs;
use std::process::Command;
use std::thread;

use crate::Kafka;

/// Prints what ran where and when, so that a table can be judged later.
pub fn print_heading(name: &str, kafka: &Kafka) {
    let model = field("/proc/cpuinfo", "model name");
    let memory = field("/proc/meminfo", "MemTotal");
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split_whitespace().take(3).collect();
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
    println!("{name}");
    println!("  when     {}", told("date", &["-u", "+%F %R UTC"]));
    println!("  machine  {cores} cores of {model}, {memory}");
    println!("  kernel   {}", told("uname", &["-sr"]));
    println!("  load     {} before the run", load.join(" "));
    println!(
        "  commit   {}",
        told("git", &["describe", "--always", "--dirty"])
    );
    println!("  client   librdkafka {librdkafka}, on both sides");
    println!("  broker   {} at {}\n", broker(kafka), kafka.bootstrap());
}

fn broker(kafka: &Kafka) -> &'static str {
    if kafka.brokers().is_empty() {
        "one that runs elsewhere"
    } else {
        "one of the harness's own"
    }
}

fn field(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.split_once(':'));
    value.map_or("?".to_owned(), |(_, value)| value.trim().to_owned())
}

fn told(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or("?".to_owned(), |output| {
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    })
}
