//! What users of the SASL listener may do.

use std::ffi::OsStr;

use super::builder::blocking;
use super::kafka::Kafka;
use crate::Error;

/// What a right is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    /// The topic of this name.
    Topic(&'a str),
    /// All topics whose names begin so.
    TopicsWithPrefix(&'a str),
    /// The consumer group of this name.
    Group(&'a str),
    /// All consumer groups whose names begin so.
    GroupsWithPrefix(&'a str),
    /// Producers with this `transactional.id`.
    TransactionalId(&'a str),
    /// Kafka as a whole.
    Cluster,
}

impl Resource<'_> {
    fn arguments(&self) -> Vec<&str> {
        match *self {
            Self::Topic(name) => vec!["--topic", name],
            Self::TopicsWithPrefix(name) => {
                vec!["--topic", name, "--resource-pattern-type", "prefixed"]
            }
            Self::Group(name) => vec!["--group", name],
            Self::GroupsWithPrefix(name) => {
                vec!["--group", name, "--resource-pattern-type", "prefixed"]
            }
            Self::TransactionalId(name) => vec!["--transactional-id", name],
            Self::Cluster => vec!["--cluster"],
        }
    }
}

impl Kafka {
    /// Lets `user` do `operations` (Kafka's names: `Read`, `Write`, `Describe`, …) on `resource`.
    /// Takes a second or two: it runs Kafka's own `AclCommand`.
    ///
    /// # Errors
    /// When Kafka refuses, as without [`sasl`](super::KafkaBuilder::sasl).
    pub async fn allow(
        &self,
        user: &str,
        operations: &[&str],
        resource: Resource<'_>,
    ) -> Result<(), Error> {
        self.acl("--add", user, operations, resource).await
    }

    /// Takes back what [`allow`](Self::allow) gave.
    ///
    /// # Errors
    /// When Kafka refuses.
    pub async fn revoke(
        &self,
        user: &str,
        operations: &[&str],
        resource: Resource<'_>,
    ) -> Result<(), Error> {
        self.acl("--remove", user, operations, resource).await
    }

    async fn acl(
        &self,
        action: &str,
        user: &str,
        operations: &[&str],
        resource: Resource<'_>,
    ) -> Result<(), Error> {
        let Some(broker) = self.brokers().first() else {
            return Err(Error::External { what: "allow" });
        };
        let jars = broker.jars().clone();
        let mut arguments: Vec<String> = vec![
            "--bootstrap-server".into(),
            self.bootstrap().to_owned(),
            "--force".into(),
            action.to_owned(),
            "--allow-principal".into(),
            format!("User:{user}"),
        ];
        for operation in operations {
            arguments.extend(["--operation".into(), (*operation).to_owned()]);
        }
        arguments.extend(resource.arguments().into_iter().map(str::to_owned));
        blocking(move || {
            let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
            jars.run("org.apache.kafka.tools.AclCommand", &arguments)
        })
        .await?;
        Ok(())
    }
}
