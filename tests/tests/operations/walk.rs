//! The commands of the README work as they are printed.

use reqwest::Method;
use serde_json::{Value, json};
use sluice_tests::{Answer, Client};

use crate::dev;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
const WALK: &str = "### A walk through the API";
const ONE_CALL: &str = "### Without a session";

/// Returns the commands of the shell blocks under a heading, one a line.
fn commands(page: &str, heading: &str) -> Vec<String> {
    let (_, section) = page.split_once(heading).expect("the heading is there");
    let ends = ["\n## ", "\n### "].map(|heading| section.find(heading));
    let end = ends.into_iter().flatten().min().unwrap_or(section.len());
    let section = &section[..end];
    let blocks = section.split("```sh\n").skip(1);
    let lines = blocks.map(|block| block.split("```").next().unwrap_or_default());
    let joined = lines.collect::<String>().replace("\\\n", " ");
    joined.lines().map(str::to_owned).collect()
}

/// Splits a command as a shell does; single quotes are all that the page uses.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in command.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => {
                words.push(std::mem::take(&mut word));
            }
            _ => word.push(c),
        }
    }
    assert!(!quoted, "{command}");
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// Does what curl does with this command, at another address.
async fn curl(client: &Client, command: &str) -> Answer {
    let words = words(command);
    let (program, words) = words.split_first().expect("a command has a name");
    assert_eq!(program, "curl", "{command}");
    let (mut method, mut headers, mut body, mut path) = (None, Vec::new(), None, None);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().expect("an option has a value").clone();
        match word.as_str() {
            "-X" => method = Some(value()),
            "-H" => headers.push(value()),
            "-d" => body = Some(value()),
            "-i" => {}
            url => {
                let local = url.strip_prefix("http://localhost:8080");
                path = Some(local.expect("an address of the node").to_owned());
            }
        }
    }
    let method = method.map_or(Method::GET, |method| method.parse().expect("it is one"));
    let mut request = client.request(method, &path.expect("curl needs an address"));
    for header in headers {
        let (name, value) = header.split_once(": ").expect("a header has a value");
        request = request.header(name, value);
    }
    if let Some(body) = body {
        request = request.body(body);
    }
    client.send(request).await.answer()
}

/// Runs the commands under a heading of the README at a node of their own.
async fn walk(heading: &str) -> (Vec<String>, Vec<Answer>) {
    let page = std::fs::read_to_string(README).unwrap();
    let commands = commands(&page, heading);
    let node = dev::start().await;
    let client = node.client();
    let mut answers = Vec::new();
    for command in &commands {
        let answer = curl(&client, command).await;
        assert!(
            matches!(answer.status, 200 | 204),
            "{command}\n{}",
            answer.text
        );
        answers.push(answer);
    }
    (commands, answers)
}

#[tokio::test]
async fn what_the_readme_does_without_a_session_works_as_it_is_printed() {
    let (commands, answers) = walk(ONE_CALL).await;
    let [topics, written, read, newest, health] = &answers[..] else {
        panic!("there are other steps than this test knows: {commands:#?}");
    };
    assert_eq!(topics.json[1]["topic"], "orders");
    assert_eq!(written["success"], true);
    assert!(written["offset"].is_i64());
    assert_eq!(read["count"], 5);
    let newest = newest.json.as_array().expect("a bare array");
    assert_eq!(newest.len(), 5);
    let times = newest.iter().map(|message| message["timestamp"].as_str());
    assert!(times.is_sorted(), "oldest first");
    assert_eq!(health["status"], "healthy");
}

#[tokio::test]
async fn the_walk_of_the_readme_works_as_it_is_printed() {
    let (commands, answers) = walk(WALK).await;
    let [
        subscribed,
        read,
        committed,
        position,
        sought,
        again,
        session,
        deleted,
        written,
    ] = &answers[..]
    else {
        panic!("the walk has other steps than this test knows: {commands:#?}");
    };
    let all = json!({"orders": [0, 1, 2], "events": [0, 1]});
    assert_eq!(subscribed["assignment"], all);
    assert!((1..=5).contains(&read.records().len()));
    for record in read.records() {
        let value = record["value"].as_str().expect("samples are text");
        let value: Value = serde_json::from_str(value).expect("the text is JSON");
        assert!(value.is_object());
    }
    assert!(
        committed["offsets"]
            .as_object()
            .is_some_and(|topics| !topics.is_empty())
    );
    let stands = &position["offsets"];
    for (topic, offsets) in committed["offsets"].as_object().expect("an object") {
        for (partition, offset) in offsets.as_object().expect("an object") {
            assert_eq!(stands[topic][partition], *offset);
        }
    }
    assert_eq!(
        sought.json,
        json!({"topic": "orders", "partition": 0, "offset": 0})
    );
    assert!((1..=5).contains(&again.records().len()));
    assert_eq!(session["group_id"], "readme");
    assert_eq!(session["state"], "running");
    assert_eq!(deleted.status, 204);
    let offsets = written["offsets"].as_array().expect("a list");
    assert_eq!(offsets.len(), 2);
    assert!(offsets.iter().all(|entry| entry["offset"].is_i64()));
}

#[test]
fn a_command_is_read_as_a_shell_does() {
    let page =
        "### Walk\n```sh\ncurl -d '{\"a\": 1}' \\\n  x\n```\ntext\n```sh\ncurl y\n```\n### Next\n";
    let found = commands(page, "### Walk");
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(words(&found[0]), ["curl", "-d", "{\"a\": 1}", "x"]);
}
