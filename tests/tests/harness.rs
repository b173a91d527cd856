//! The harness does what tests rely on.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Message, Offset};
use sluice_tests::fault::Direction;
use sluice_tests::kafka::{Record, Resource};
use sluice_tests::{Kafka, eventually, unique};
use tokio::time::timeout;

/// Far more than anything here takes, also on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);

fn member(mut config: ClientConfig, group: &str, topic: &str) -> StreamConsumer {
    let consumer: StreamConsumer = config
        .set("group.id", group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .create()
        .expect("the settings are right");
    consumer.subscribe(&[topic]).expect("the name is legal");
    consumer
}

#[tokio::test]
async fn what_is_produced_is_read_back() {
    let kafka = Kafka::shared().await;
    let topic = unique("orders");
    kafka.create_topic(&topic, 2).await.unwrap();
    let records = [
        Record::value("first")
            .key("k")
            .header("h", "v")
            .null_header("n")
            .partition(1)
            .timestamp(1_704_537_600_000),
        Record::tombstone().key("k").partition(1),
        Record::value("other").partition(0),
    ];
    let written = kafka.produce(&topic, records).await.unwrap();
    assert_eq!(written, [(1, 0), (1, 1), (0, 0)]);

    let read = kafka.read_all(&topic).await.unwrap();
    let at: Vec<(i32, i64)> = read.iter().map(|r| (r.partition, r.offset)).collect();
    assert_eq!(at, [(0, 0), (1, 0), (1, 1)]);
    assert_eq!(read[0].text(), "other");
    assert_eq!(read[1].key.as_deref(), Some(&b"k"[..]));
    assert_eq!(read[1].timestamp, Some(1_704_537_600_000));
    let headers = [
        ("h".to_owned(), Some(b"v".to_vec())),
        ("n".to_owned(), None),
    ];
    assert_eq!(read[1].headers, headers);
    assert_eq!(read[2].value, None);
}

#[tokio::test]
async fn records_of_an_aborted_transaction_take_offsets_but_are_not_read() {
    let kafka = Kafka::shared().await;
    let topic = unique("orders");
    kafka.create_topic(&topic, 1).await.unwrap();
    let gone = [Record::value("gone")];
    kafka
        .produce_in_transaction(&topic, gone, false)
        .await
        .unwrap();
    let kept = [Record::value("kept")];
    kafka
        .produce_in_transaction(&topic, kept, true)
        .await
        .unwrap();
    let read = kafka.read_all(&topic).await.unwrap();
    assert_eq!(read.len(), 1, "{read:?}");
    assert_eq!(read[0].text(), "kept");
    // Two records and two markers.
    assert_eq!(kafka.end_offsets(&topic).await.unwrap()[&0], 4);
}

#[tokio::test]
async fn a_topic_is_filled_grown_trimmed_and_deleted() {
    let kafka = Kafka::shared().await;
    let topic = unique("orders");
    kafka.create_topic(&topic, 2).await.unwrap();
    kafka.fill(&topic, 1001, 64).await.unwrap();
    kafka.add_partitions(&topic, 3).await.unwrap();
    kafka.delete_records(&topic, 0, 100).await.unwrap();
    let offsets = kafka.offsets(&topic).await.unwrap();
    assert_eq!(
        offsets.into_iter().collect::<Vec<_>>(),
        [(0, (100, 501)), (1, (0, 500)), (2, (0, 0))]
    );
    let again = kafka.create_topic(&topic, 1).await.unwrap_err();
    assert_eq!(
        again.kafka_code(),
        Some(RDKafkaErrorCode::TopicAlreadyExists),
        "{again}"
    );
    kafka.delete_topic(&topic).await.unwrap();
    assert_eq!(kafka.partitions(&topic).await.unwrap(), 0);
}

#[tokio::test]
async fn members_commits_and_lag_of_a_group_are_seen() {
    let kafka = Kafka::shared().await;
    let (topic, group) = (unique("orders"), unique("group"));
    kafka.create_topic(&topic, 2).await.unwrap();
    kafka.fill(&topic, 10, 0).await.unwrap();
    assert_eq!(kafka.group(&group).await.unwrap(), None);
    assert!(kafka.committed(&group, &topic).await.unwrap().is_empty());

    let consumer = member(kafka.client_config(), &group, &topic);
    let first = timeout(DEADLINE, consumer.recv()).await.unwrap().unwrap();
    consumer.commit_message(&first, CommitMode::Sync).unwrap();
    let members = kafka.members(&group).await.unwrap();
    assert_eq!(members.len(), 1, "{members:?}");
    assert_eq!(members[0].assignment[&topic], BTreeSet::from([0, 1]));

    let partition = first.partition();
    let committed = kafka.committed(&group, &topic).await.unwrap();
    assert_eq!(
        committed.into_iter().collect::<Vec<_>>(),
        [(partition, first.offset() + 1)]
    );
    let lag = kafka.lag(&group, &topic).await.unwrap();
    assert_eq!(lag[&partition].lag(), 4);
    assert_eq!(lag[&(1 - partition)].lag(), 5);
    assert_eq!(kafka.lags(&group).await.unwrap()[&topic], lag);

    consumer.unsubscribe();
    eventually(DEADLINE, "the group is empty", async || {
        // Only a polled consumer tells the group that it leaves.
        let _ = timeout(Duration::from_millis(20), consumer.recv()).await;
        matches!(kafka.members(&group).await.as_deref(), Ok([]))
    })
    .await;
    kafka
        .commit(&group, &topic, [(0, 5), (1, 5)])
        .await
        .unwrap();
    let lag = kafka.lag(&group, &topic).await.unwrap();
    assert!(lag.values().all(|lag| lag.lag() == 0), "{lag:?}");
    kafka.delete_group(&group).await.unwrap();
    assert_eq!(kafka.group(&group).await.unwrap(), None);
}

#[tokio::test]
async fn a_killed_broker_comes_back_with_its_data_at_the_same_address() {
    let kafka = Kafka::start().await;
    let (topic, group) = (unique("orders"), unique("group"));
    kafka.create_topic(&topic, 1).await.unwrap();
    kafka.fill(&topic, 100, 0).await.unwrap();
    kafka.commit(&group, &topic, [(0, 42)]).await.unwrap();
    let address = kafka.bootstrap().to_owned();
    kafka.kill().unwrap();
    assert!(!kafka.brokers()[0].is_running());
    kafka.restart().await.unwrap();
    assert_eq!(kafka.bootstrap(), address);
    assert_eq!(kafka.read_all(&topic).await.unwrap().len(), 100);
    assert_eq!(kafka.committed(&group, &topic).await.unwrap()[&0], 42);
    let written = kafka
        .produce(&topic, [Record::value("after")])
        .await
        .unwrap();
    assert_eq!(written, [(0, 100)]);
}

#[tokio::test]
async fn a_frozen_broker_answers_nothing_until_it_is_thawed() {
    let kafka = Kafka::start().await;
    let topic = unique("orders");
    kafka.create_topic(&topic, 1).await.unwrap();
    kafka.freeze().unwrap();
    let mut produced = Box::pin(kafka.produce(&topic, [Record::value("late")]));
    let early = timeout(Duration::from_secs(1), &mut produced).await;
    assert!(early.is_err(), "{early:?}");
    kafka.thaw().unwrap();
    assert_eq!(produced.await.unwrap(), [(0, 0)]);
}

#[tokio::test]
async fn three_brokers_go_on_without_one() {
    let kafka = Kafka::cluster(3).await;
    let topic = unique("orders");
    kafka.create_topic(&topic, 3).await.unwrap();
    kafka.fill(&topic, 30, 0).await.unwrap();
    kafka.brokers()[1].kill();
    kafka.fill(&topic, 30, 0).await.unwrap();
    assert_eq!(kafka.read_all(&topic).await.unwrap().len(), 60);
    kafka.brokers()[1].restart().await.unwrap();
    kafka.serving().await.unwrap();
}

#[tokio::test]
async fn a_wrong_password_and_a_missing_right_are_refused() {
    let kafka = Kafka::builder().sasl().start().await;
    let topic = unique("orders");
    kafka.create_topic(&topic, 1).await.unwrap();
    let send = async |config: ClientConfig| {
        let producer: FutureProducer = config.create().unwrap();
        let record = FutureRecord::<str, str>::to(&topic).payload("x");
        let sent = producer.send(record, DEADLINE).await;
        sent.map_err(|(error, _)| error.rdkafka_error_code())
    };

    let mut wrong = kafka.sasl_config("alice");
    wrong.set("sasl.password", "wrong");
    let stranger: StreamConsumer = wrong.set("group.id", "g").create().unwrap();
    stranger.subscribe(&[&topic]).unwrap();
    eventually(DEADLINE, "the password is refused", async || {
        let error = stranger.recv().await.map(drop);
        error
            == Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::Authentication,
            ))
    })
    .await;

    let refused = send(kafka.sasl_config("alice")).await.map(drop);
    assert_eq!(
        refused,
        Err(Some(RDKafkaErrorCode::TopicAuthorizationFailed))
    );
    send(kafka.sasl_config("admin"))
        .await
        .expect("admin may do everything");
    let rights = ["Write", "Describe"];
    kafka
        .allow("alice", &rights, Resource::Topic(&topic))
        .await
        .unwrap();
    send(kafka.sasl_config("alice"))
        .await
        .expect("alice may write now");
    kafka
        .revoke("alice", &rights, Resource::Topic(&topic))
        .await
        .unwrap();
    let refused = send(kafka.sasl_config("alice")).await.map(drop);
    assert_eq!(
        refused,
        Err(Some(RDKafkaErrorCode::TopicAuthorizationFailed))
    );
}

#[tokio::test]
async fn a_proxied_client_suffers_faults_and_the_harness_does_not() {
    let kafka = Kafka::builder().through_proxy().start().await;
    let topic = unique("orders");
    kafka.create_topic(&topic, 1).await.unwrap();
    let mut config = kafka.client_config();
    config.set("bootstrap.servers", kafka.proxied_bootstrap());
    let consumer = member(config, &unique("group"), &topic);
    kafka
        .produce(&topic, [Record::value("before")])
        .await
        .unwrap();
    let before = timeout(DEADLINE, consumer.recv()).await.unwrap().unwrap();
    assert_eq!(before.payload(), Some(&b"before"[..]));

    let proxy = kafka.brokers()[0].proxy().unwrap();
    assert!(proxy.connections() > 0);
    proxy.stall(Direction::ToClient);
    kafka
        .produce(&topic, [Record::value("during")])
        .await
        .unwrap();
    let early = timeout(Duration::from_millis(500), consumer.recv()).await;
    assert!(early.is_err(), "a record came through the stall");
    proxy.heal().await;
    let late = timeout(DEADLINE, consumer.recv()).await.unwrap().unwrap();
    assert_eq!(late.payload(), Some(&b"during"[..]));
}

#[tokio::test]
async fn a_broker_property_reaches_the_broker() {
    let delay = Duration::from_secs(3);
    let kafka = Kafka::builder()
        .initial_rebalance_delay(delay)
        .property("message.max.bytes", 2000)
        .start()
        .await;
    let topic = unique("orders");
    kafka.create_topic(&topic, 1).await.unwrap();
    let refused = kafka
        .produce(&topic, [Record::value(vec![b'x'; 4000])])
        .await;
    let code = refused.unwrap_err().kafka_code();
    assert_eq!(code, Some(RDKafkaErrorCode::MessageSizeTooLarge));

    kafka.produce(&topic, [Record::value("x")]).await.unwrap();
    let consumer = member(kafka.client_config(), &unique("group"), &topic);
    let joining = tokio::time::Instant::now();
    timeout(DEADLINE, consumer.recv()).await.unwrap().unwrap();
    assert!(joining.elapsed() >= delay, "{:?}", joining.elapsed());
    let position = consumer.position().unwrap();
    assert_eq!(position.elements()[0].offset(), Offset::Offset(1));
}

#[tokio::test]
async fn a_taken_port_is_told_in_one_sentence() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let error = Kafka::builder().port(port).try_start().await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("port {port} is taken: ")),
        "{text}"
    );
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[tokio::test]
async fn a_kafka_that_runs_elsewhere_cannot_be_killed() {
    let elsewhere = Kafka::connect(Kafka::shared().await.bootstrap())
        .await
        .unwrap();
    let error = elsewhere.kill().unwrap_err().to_string();
    assert!(error.contains("Kafka::start()"), "{error}");
}

#[tokio::test]
async fn nothing_is_left_of_a_killed_test_process() {
    let port = sluice_tests::ports::Port::reserve().unwrap();
    let mut owner = Command::new(env!("CARGO_BIN_EXE_kafka"))
        .args(["--port", &port.number().to_string()])
        .spawn()
        .unwrap();
    eventually(DEADLINE, "it serves", async || {
        Kafka::connect(&port.address()).await
    })
    .await;
    owner.kill().unwrap();
    owner.wait().unwrap();
    eventually(DEADLINE, "the broker is gone with its owner", async || {
        tokio::net::TcpStream::connect(port.address())
            .await
            .is_err()
    })
    .await;
}
