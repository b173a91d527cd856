use std::time::Duration;

use super::*;

mod page;

fn env(pairs: &[(&str, &str)]) -> Env {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn parse(text: &str, vars: &[(&str, &str)]) -> Result<Config, Mistakes> {
    Config::parse(text, &env(vars), &Flags::default())
}

#[track_caller]
fn mistakes(text: &str, vars: &[(&str, &str)]) -> String {
    parse(text, vars).expect_err("was taken").to_string()
}

const KAFKA: (&str, &str) = ("KAFKA_BOOTSTRAP_SERVERS", "kafka-0:9092,kafka-1:9092");

#[test]
fn one_variable_is_a_configuration() {
    let config = parse("", &[KAFKA]).unwrap();
    assert_eq!(config.kafka.bootstrap_list(), "kafka-0:9092,kafka-1:9092");
    assert_eq!(config.http.bind, ["0.0.0.0:8080".parse().unwrap()]);
    assert_eq!(config.admin.bind, "127.0.0.1:9091".parse().unwrap());
    assert_eq!(config.limits.sessions_per_node.get(), 500);
    assert_eq!(config.drain.timeout, Duration::from_secs(25));
}

#[test]
fn the_environment_wins_over_the_file_and_a_flag_over_both() {
    let file = "[http]\nbind = ['127.0.0.1:1']\n[admin]\nbind = '127.0.0.1:2'\n\
                [drain]\ntimeout = '3s'\n[kafka]\nbootstrap_servers = 'file:1'";
    let vars = [
        ("SLUICE_HTTP__BIND", "127.0.0.1:3, [::1]:4"),
        ("SLUICE_ADMIN__BIND", "127.0.0.1:5"),
        ("SLUICE_KAFKA__BOOTSTRAP_SERVERS", "env:1"),
        KAFKA,
    ];
    let flags = Flags {
        admin_bind: Some("127.0.0.1:6".to_owned()),
        ..Flags::default()
    };
    let config = Config::parse(file, &env(&vars), &flags).unwrap();
    assert_eq!(config.http.bind.len(), 2);
    assert_eq!(config.admin.bind.port(), 6);
    assert_eq!(config.kafka.bootstrap_list(), "env:1");
    assert_eq!(config.drain.timeout, Duration::from_secs(3));
}

#[test]
fn all_mistakes_are_told_at_once_with_key_value_and_remedy() {
    let file = "[http]\nbind = 'nowhere'\nport = 1\n[limits]\nbody_bytes = 'much'\n\
                [shoes]\nsize = 43\n[drain]\ntimeout = 25\n";
    let told = mistakes(file, &[("SLUICE_LIMITS__SESSIONS_PER_NODE", "0")]);
    for part in [
        "http.bind = \"nowhere\": must be one or more addresses",
        "http.port: is not a key; [http] has bind, keep_alive, header_timeout",
        "limits.body_bytes = \"much\": must be a size",
        "SLUICE_LIMITS__SESSIONS_PER_NODE = \"0\": must be a number from 1",
        "shoes is not a section",
        "drain.timeout = 25: must be a duration",
        "kafka.bootstrap_servers: is missing",
    ] {
        assert!(told.contains(part), "{part:?} is not in:\n{told}");
    }
    assert_eq!(told.lines().count(), 7, "{told}");
}

#[test]
fn a_misspelt_variable_is_a_mistake_but_other_variables_are_not_ours() {
    let told = mistakes("", &[KAFKA, ("SLUICE_HTTP__BNID", "x")]);
    assert!(
        told.starts_with("SLUICE_HTTP__BNID: is not a key"),
        "{told}"
    );
    let told = mistakes("", &[KAFKA, ("SLUICE_SCHEMA_REGISTRY_URL", "x")]);
    let expected = "SLUICE_SCHEMA_REGISTRY_URL: is not read: the variable is \
                    SLUICE_SCHEMA_REGISTRY__URL";
    assert!(told.starts_with(expected), "{told}");
    let vars = [
        KAFKA,
        ("SLUICE_LOG", "debug"),
        ("SLUICE_SERVICE_HOST", "10.0.0.1"),
    ];
    assert!(parse("", &vars).is_ok());
}

#[test]
fn properties_are_passed_on_under_their_own_names() {
    let file = "[kafka.properties]\n'security.protocol' = 'ssl'\nssl.ca.location = '/ca'\n\
                [kafka.consumer]\n\"fetch.wait.max.ms\" = 250\n";
    let vars = [
        KAFKA,
        ("SLUICE_KAFKA__PROPERTIES__SASL_PASSWORD", "hunter2"),
    ];
    let config = parse(file, &vars).unwrap();
    let all = &config.kafka.properties.0;
    assert_eq!(all["security.protocol"], "ssl");
    assert_eq!(all["ssl.ca.location"], "/ca");
    assert_eq!(all["sasl.password"], "hunter2");
    assert_eq!(config.kafka.consumer.0["fetch.wait.max.ms"], "250");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn properties_that_sluice_owns_are_refused_with_the_reason() {
    let file = "[kafka.properties]\n\"group.id\" = 'g'\n[kafka.consumer]\n\
                \"enable.auto.commit\" = true\n[kafka.producer]\nacks = 1\n";
    let told = mistakes(file, &[KAFKA]);
    assert!(told.contains("kafka.properties.group.id: may not be set"));
    assert!(told.contains("kafka.consumer.enable.auto.commit: may not be set"));
    assert!(told.contains("kafka.producer.acks: may not be set"));
    assert_eq!(told.lines().count(), 3, "{told}");
}

#[test]
fn a_secret_is_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    std::fs::write(&path, "s3cret\n").unwrap();
    let path = path.to_str().unwrap();
    let config = parse("", &[KAFKA, ("SLUICE_CLUSTER__SECRET_FILE", path)]).unwrap();
    assert_eq!(config.cluster.secrets[0].reveal(), "s3cret");
    assert!(!format!("{config:?}").contains("s3cret"));
    let told = mistakes("", &[KAFKA, ("SLUICE_CLUSTER__SECRET", "s3cret,b,c")]);
    assert!(!told.contains("s3cret"), "{told}");
    let both = [
        KAFKA,
        ("SLUICE_CLUSTER__SECRET", "a"),
        ("SLUICE_CLUSTER__SECRET_FILE", path),
    ];
    assert!(mistakes("", &both).contains("must not stand beside"));
}

#[test]
fn a_schema_registry_has_addresses_and_one_way_to_show_who_asks() {
    let set = |key: &'static str, value: &'static str| (key, value);
    let url = set(
        "SLUICE_SCHEMA_REGISTRY__URL",
        "https://a:8081, http://b/apis/ccompat/v7",
    );
    let user = set("SLUICE_SCHEMA_REGISTRY__USERNAME", "reader");
    let password = set("SLUICE_SCHEMA_REGISTRY__PASSWORD", "s3cret");
    let token = set("SLUICE_SCHEMA_REGISTRY__TOKEN", "t0ken");
    let config = parse("", &[KAFKA, url, user, password]).unwrap();
    let registry = &config.schema_registry;
    let urls: Vec<&str> = registry.urls.iter().map(reqwest::Url::as_str).collect();
    assert_eq!(urls, ["https://a:8081/", "http://b/apis/ccompat/v7"]);
    assert!(matches!(
        &registry.credentials,
        Some(Credentials::Basic(..))
    ));
    assert!(!format!("{config:?}").contains("s3cret"));
    let config = parse("", &[KAFKA, url, token]).unwrap();
    assert!(!format!("{config:?}").contains("t0ken"));
    for (vars, key) in [
        (&[KAFKA, user, password][..], "schema_registry.url"),
        (&[KAFKA, url, user], "schema_registry.password"),
        (&[KAFKA, url, password], "schema_registry.username"),
        (
            &[KAFKA, url, user, password, token],
            "schema_registry.token",
        ),
    ] {
        let told = mistakes("", vars);
        assert!(told.starts_with(&format!("{key}: ")), "{told}");
        assert!(
            !told.contains("s3cret") && !told.contains("t0ken"),
            "{told}"
        );
    }
}

#[test]
fn addresses_and_files_of_a_schema_registry_are_checked() {
    for wrong in [
        "registry:8081",
        "ftp://registry",
        "http://",
        "http://user:password@registry",
        "http://registry/?a=b",
        "http://registry/#a",
    ] {
        let told = mistakes(&format!("[schema_registry]\nurl = '{wrong}'"), &[KAFKA]);
        assert!(told.starts_with("schema_registry.url: "), "{wrong}: {told}");
        assert!(!told.contains("user:password"), "{told}");
    }
    let dir = tempfile::tempdir().unwrap();
    let no_pem = dir.path().join("ca.pem");
    std::fs::write(&no_pem, "no certificate").unwrap();
    for file in [&no_pem, &dir.path().join("none")] {
        let file = file.display();
        let told = mistakes(&format!("[schema_registry]\nca_file = '{file}'"), &[KAFKA]);
        assert!(told.starts_with("schema_registry.ca_file"), "{told}");
    }
}

#[test]
fn checks_across_keys_name_both_values() {
    let told = mistakes("[cluster]\nlease = '6s'\n", &[KAFKA]);
    assert!(told.contains("5s") && told.contains("6s"), "{told}");
}

#[test]
fn a_file_that_is_not_toml_says_where_but_not_what() {
    let told = mistakes("[kafka]\npassword = hunter2 2\n", &[KAFKA]);
    assert!(told.contains("line 2"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}
