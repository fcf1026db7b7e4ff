//! Every error, its kind, whose fault it is, and where it happened.

use std::{error::Error, time::Duration};

use ottla::{
    ClientInstanceId, DecodeError, DecodeErrorKind, SubscriptionError,
    error::{
        AclOperation, AdminError, AdminErrorKind, BuildError, BuildErrorKind, ClientInstanceIdError,
        ClientInstanceIdErrorKind, CloseError, CloseErrorKind, CommitError, CommitErrorKind, Context, Fault,
        OffsetsError, OffsetsErrorKind, Permission, RecvError, RecvErrorKind, Resource, SeekError,
        SeekErrorKind, SendError, SendErrorKind,
    },
    producer::ProducerRecord,
};

use crate::{Outcome, administering::at, configuring, equal};

pub(crate) async fn all(servers: &str, topic: &str) -> Outcome {
    let error = configuring::consumer(servers).properties([("group.ids", "billing")]).err();
    let error = failed(error)?;
    equal(of_build(&error), (BuildErrorKind::UnknownProperty, Fault::Caller))?;
    equal(property(error.context()), Some("group.ids"))?;

    let mut consumer = configuring::consumer(servers).build().await?;
    equal(of_recv(&failed(consumer.recv().await.err())?), (RecvErrorKind::NotSubscribed, Fault::Caller))?;
    equal(of_commit(&failed(consumer.commit().await.err())?), (CommitErrorKind::NoGroup, Fault::Caller))?;
    equal(of_seek(&failed(consumer.seek(at(topic), 0).err())?), (SeekErrorKind::NotAssigned, Fault::Caller))?;
    let error = failed(consumer.position(at(topic)).await.err())?;
    equal(of_offsets(&error), (OffsetsErrorKind::NotAssigned, Fault::Caller))?;
    let id = consumer.client_instance_id(Duration::ZERO).await;
    equal(of_id(&id), (Some(ClientInstanceIdErrorKind::TimedOut), Fault::Cluster))?;
    let error = failed(consumer.subscribe(topic).err())?;
    equal(needs_a_group(&error), true)?;
    equal(consumer.close().await.err().as_ref().map(of_close), None)?;

    let producer = configuring::producer(servers).build().await?;
    let record = ProducerRecord::to(topic).value(vec![0; 2 << 20]);
    equal(of_send(&failed(producer.send(record).await.err())?), (SendErrorKind::TooLarge, Fault::Caller))?;
    producer.close().await?;

    let admin = configuring::admin(servers).build().await?;
    let error = failed(admin.delete_topic(format!("{topic}-none")).await.err())?;
    equal(of_admin(&error), (AdminErrorKind::UnknownTopic, Fault::Caller))?;
    equal(error.missing_permission().map(parts), None)?;
    admin.close().await;

    equal(damaged(&error), None)
}

fn failed<E>(error: Option<E>) -> Result<E, &'static str> {
    error.ok_or("it has not failed")
}

fn of_build(error: &BuildError) -> (BuildErrorKind, Fault) {
    (error.kind(), error.kind().fault())
}

fn of_recv(error: &RecvError) -> (RecvErrorKind, Fault) {
    (error.kind(), error.kind().fault())
}

fn of_commit(error: &CommitError) -> (CommitErrorKind, Fault) {
    (error.kind(), error.kind().fault())
}

fn of_close(error: &CloseError) -> (CloseErrorKind, Fault) {
    (error.kind(), error.kind().fault())
}

fn of_id(id: &Result<ClientInstanceId, ClientInstanceIdError>) -> (Option<ClientInstanceIdErrorKind>, Fault) {
    let kind = id.as_ref().err().map(ClientInstanceIdError::kind);
    (kind, kind.map_or(Fault::Client, ClientInstanceIdErrorKind::fault))
}

fn of_seek(error: &SeekError) -> (SeekErrorKind, Fault) {
    (error.kind(), error.kind().fault())
}

fn of_offsets(error: &OffsetsError) -> (OffsetsErrorKind, Fault) {
    (error.kind(), error.kind().fault())
}

fn of_send(error: &SendError) -> (SendErrorKind, Fault) {
    (error.kind(), error.kind().fault())
}

fn of_admin(error: &AdminError) -> (AdminErrorKind, Fault) {
    (error.kind(), error.kind().fault())
}

fn needs_a_group(error: &SubscriptionError) -> bool {
    *error == SubscriptionError::NoGroup
}

fn property(context: &Context) -> Option<&str> {
    context.property.as_deref()
}

/// What is wrong with bytes, where bytes are behind an error.
fn damaged(error: &(dyn Error + 'static)) -> Option<DecodeErrorKind> {
    error.source()?.downcast_ref().map(|damage: &DecodeError| damage.kind)
}

fn parts(permission: Permission) -> (AclOperation, Resource) {
    (permission.operation, permission.resource)
}
