//! The only file with `unsafe`: what librdkafka offers and rdkafka does not pass on.
//!
//! Six things: records without what rdkafka adds to each, and headers whose names are not UTF-8
//! (rdkafka panics on them); the group's member id and generation; and commits whose outcome comes
//! back on a queue of their own, per partition, so that it never waits behind unread records;
//! whether a record that was not acknowledged may have been written; and further brokers. Long, because there is to be
//! no second file of this kind.

use std::ffi::{CStr, CString, c_char, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::sync::Arc;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaRespErr;

use super::told::{CommitOutcome, ListedOffset, Polled};

/// The member id that the group's coordinator gave; empty while the handle is not a member.
pub(crate) fn member_id<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> String {
    let client = consumer.client().native_ptr();
    // SAFETY: `client` lives as long as `consumer`. The text returned is ours, NUL-terminated,
    // allocated by librdkafka and freed by it once, after it was copied.
    unsafe {
        let native = sys::rd_kafka_memberid(client);
        let id = text(native);
        sys::rd_kafka_mem_free(client, native.cast());
        id
    }
}

/// The group's generation, -1 while the handle is not a member.
pub(crate) fn generation<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> i32 {
    // SAFETY: `client` lives as long as `consumer`; the metadata is ours and destroyed once.
    unsafe {
        let metadata = sys::rd_kafka_consumer_group_metadata(consumer.client().native_ptr());
        if metadata.is_null() {
            return -1;
        }
        let generation = sys::rd_kafka_consumer_group_metadata_generation_id(metadata);
        sys::rd_kafka_consumer_group_metadata_destroy(metadata);
        generation
    }
}

/// The queue on which a consumer's records and events come, in order.
///
/// Unlike [`BaseConsumer::poll`] it hands out every event, so nothing but [`poll`](Self::poll)
/// may take from the queue before the consumer is closed.
pub(crate) struct RecordQueue<C: ConsumerContext> {
    queue: *mut sys::rd_kafka_queue_t,
    _consumer: Arc<BaseConsumer<C>>,
}

// SAFETY: librdkafka's queues may be used from any thread.
unsafe impl<C: ConsumerContext> Send for RecordQueue<C> {}
// SAFETY: as above; every method only calls thread-safe functions of librdkafka.
unsafe impl<C: ConsumerContext> Sync for RecordQueue<C> {}

impl<C: ConsumerContext> RecordQueue<C> {
    /// The queue of a consumer that has a group id.
    pub(crate) fn of(consumer: Arc<BaseConsumer<C>>) -> Option<Self> {
        // SAFETY: the client outlives the queue because `self` holds the consumer; the reference
        // to the queue is ours and given back once, in `drop`.
        let queue = unsafe { sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
        (!queue.is_null()).then(|| Self {
            queue,
            _consumer: consumer,
        })
    }

    /// Takes what stands first, if anything; never waits.
    pub(crate) fn poll(&self) -> Option<Polled<'_>> {
        // SAFETY: the queue is ours. The event is ours and destroyed once: by the message that
        // owns it, else here, after all was copied out of it. Texts are NUL-terminated.
        unsafe {
            let event = sys::rd_kafka_queue_poll(self.queue, 0);
            if event.is_null() {
                return None;
            }
            let error = sys::rd_kafka_event_error(event);
            let polled = match sys::rd_kafka_event_type(event) {
                sys::RD_KAFKA_EVENT_FETCH => {
                    let native = sys::rd_kafka_event_message_next(event);
                    match native.as_ref().map(|message| message.err) {
                        None => Polled::Other,
                        Some(error) if code(error).is_some() => failed(error, String::new()),
                        Some(_) => {
                            let _queue = PhantomData;
                            let message = Message {
                                event,
                                native,
                                _queue,
                            };
                            return Some(Polled::Record(message));
                        }
                    }
                }
                sys::RD_KAFKA_EVENT_ERROR => {
                    failed(error, text(sys::rd_kafka_event_error_string(event)))
                }
                sys::RD_KAFKA_EVENT_REBALANCE => Polled::Rebalance {
                    what: error,
                    partitions: listed(sys::rd_kafka_event_topic_partition_list(event)),
                },
                sys::RD_KAFKA_EVENT_LOG => {
                    let (mut facility, mut line, mut level) = (ptr::null(), ptr::null(), 0);
                    sys::rd_kafka_event_log(event, &mut facility, &mut line, &mut level);
                    Polled::Log {
                        level,
                        facility: text(facility),
                        line: text(line),
                    }
                }
                _ => Polled::Other,
            };
            sys::rd_kafka_event_destroy(event);
            Some(polled)
        }
    }
}

fn failed(error: RDKafkaRespErr, reason: String) -> Polled<'static> {
    match code(error) {
        Some(error) => Polled::Failed { error, reason },
        None => Polled::Other,
    }
}

impl<C: ConsumerContext> Drop for RecordQueue<C> {
    fn drop(&mut self) {
        // SAFETY: the reference is ours and given back once.
        unsafe { sys::rd_kafka_queue_destroy(self.queue) }
    }
}

/// A record in librdkafka's memory.
pub(crate) struct Message<'q> {
    event: *mut sys::rd_kafka_event_t,
    native: *const sys::rd_kafka_message_t,
    _queue: PhantomData<&'q ()>,
}

impl Message<'_> {
    fn native(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: the message is the event's, which lives as long as `self`; nobody changes it.
        unsafe { &*self.native }
    }

    /// The topic's name; empty for what cannot be one.
    pub(crate) fn topic(&self) -> &str {
        // SAFETY: the message holds its topic, whose name is NUL-terminated.
        let name = unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(self.native().rkt)) };
        name.to_str().unwrap_or_default()
    }

    pub(crate) fn partition(&self) -> i32 {
        self.native().partition
    }

    pub(crate) fn offset(&self) -> i64 {
        self.native().offset
    }

    /// Milliseconds since 1970-01-01 UTC; -1 if Kafka has none.
    pub(crate) fn timestamp(&self) -> i64 {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message lives through the call, which writes `kind`.
        let time = unsafe { sys::rd_kafka_message_timestamp(self.native, &mut kind) };
        match kind {
            sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => -1,
            _ => time,
        }
    }

    pub(crate) fn key(&self) -> Option<&[u8]> {
        // SAFETY: as long as the event lives the key has the size told, or is null.
        unsafe { bytes(self.native().key, self.native().key_len) }
    }

    pub(crate) fn value(&self) -> Option<&[u8]> {
        // SAFETY: as long as the event lives the value has the size told, or is null.
        unsafe { bytes(self.native().payload, self.native().len) }
    }

    /// Calls `each` with name and value of every header, in order; names are bytes as Kafka has
    /// them.
    pub(crate) fn for_each_header(&self, mut each: impl FnMut(&[u8], Option<&[u8]>)) {
        let mut headers = ptr::null_mut();
        // SAFETY: the message outlives this call, and with it the headers, names and values that
        // librdkafka hands out; names are NUL-terminated, values have the size told or are null.
        unsafe {
            let found = sys::rd_kafka_message_headers(self.native, &mut headers);
            if code(found).is_some() {
                return;
            }
            for index in 0.. {
                let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
                let got =
                    sys::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut size);
                if code(got).is_some() {
                    return;
                }
                each(CStr::from_ptr(name).to_bytes(), bytes(value, size));
            }
        }
    }
}

impl Drop for Message<'_> {
    fn drop(&mut self) {
        // SAFETY: the event is ours and destroyed once; nothing borrowed from it outlives `self`.
        unsafe { sys::rd_kafka_event_destroy(self.event) }
    }
}

/// # Safety
/// `start` is null, or valid for `size` bytes during `'a`.
unsafe fn bytes<'a>(start: *const c_void, size: usize) -> Option<&'a [u8]> {
    // SAFETY: as promised by the caller.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast(), size) })
}

/// # Safety
/// `start` is null or a NUL-terminated text.
unsafe fn text(start: *const c_char) -> String {
    if start.is_null() {
        return String::new();
    }
    // SAFETY: as promised by the caller.
    let text = unsafe { CStr::from_ptr(start) };
    text.to_string_lossy().into_owned()
}

type Wake = dyn Fn() + Send + Sync;

/// Commits of one consumer, with their outcomes on a queue of their own.
pub(crate) struct CommitQueue<C: ConsumerContext> {
    queue: *mut sys::rd_kafka_queue_t,
    // librdkafka holds a pointer to the inner box until the callback is disabled in `drop`.
    _wake: Box<Box<Wake>>,
    consumer: Arc<BaseConsumer<C>>,
}

// SAFETY: librdkafka's queues may be used from any thread; `wake` is Send + Sync.
unsafe impl<C: ConsumerContext> Send for CommitQueue<C> {}
// SAFETY: as above; every method only calls thread-safe functions of librdkafka.
unsafe impl<C: ConsumerContext> Sync for CommitQueue<C> {}

unsafe extern "C" fn call_wake(_: *mut sys::rd_kafka_t, opaque: *mut c_void) {
    let wake = opaque.cast::<Box<Wake>>();
    // SAFETY: `opaque` is the inner box of a `CommitQueue`, which disables this callback before
    // it frees the box.
    unsafe { (*wake)() }
}

impl<C: ConsumerContext> CommitQueue<C> {
    /// Makes the queue; `wake` is called on librdkafka's threads when it becomes non-empty, and
    /// must neither block nor panic.
    pub(crate) fn new(consumer: Arc<BaseConsumer<C>>, wake: Box<Wake>) -> Self {
        let wake = Box::new(wake);
        // SAFETY: the client outlives the queue because `self` holds the consumer; the opaque
        // pointer stays valid because `self` holds the box and `drop` disables the callback.
        let queue = unsafe {
            let queue = sys::rd_kafka_queue_new(consumer.client().native_ptr());
            let opaque = (&raw const *wake).cast_mut().cast();
            sys::rd_kafka_queue_cb_event_enable(queue, Some(call_wake), opaque);
            queue
        };
        Self {
            queue,
            _wake: wake,
            consumer,
        }
    }

    /// Sends a commit; its outcome comes by [`next`](Self::next) under the same number.
    ///
    /// # Errors
    /// The commit was not sent.
    pub(crate) fn commit(
        &self,
        offsets: &TopicPartitionList,
        number: u64,
    ) -> Result<(), RDKafkaErrorCode> {
        // SAFETY: client, list and queue live through the call; librdkafka copies the list. The
        // opaque pointer is a number in disguise that nobody dereferences.
        let sent = unsafe {
            sys::rd_kafka_commit_queue(
                self.consumer.client().native_ptr(),
                offsets.ptr(),
                self.queue,
                None,
                ptr::without_provenance_mut(number as usize),
            )
        };
        code(sent).map_or(Ok(()), Err)
    }

    /// Takes the next outcome, if there is one.
    pub(crate) fn next(&self) -> Option<CommitOutcome> {
        loop {
            // SAFETY: the queue is ours; the event is ours and destroyed once, after all was
            // copied out of it.
            unsafe {
                let event = sys::rd_kafka_queue_poll(self.queue, 0);
                if event.is_null() {
                    return None;
                }
                let is_commit =
                    sys::rd_kafka_event_type(event) == sys::RD_KAFKA_EVENT_OFFSET_COMMIT;
                let outcome = is_commit.then(|| CommitOutcome {
                    number: sys::rd_kafka_event_opaque(event).addr() as u64,
                    error: code(sys::rd_kafka_event_error(event)),
                    partitions: listed(sys::rd_kafka_event_topic_partition_list(event)),
                });
                sys::rd_kafka_event_destroy(event);
                if outcome.is_some() {
                    return outcome;
                }
            }
        }
    }
}

impl<C: ConsumerContext> Drop for CommitQueue<C> {
    fn drop(&mut self) {
        // SAFETY: the queue is ours and destroyed once; no callback runs after the first call,
        // which takes the queue's lock.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.queue, None, ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.queue);
        }
    }
}

fn code(error: RDKafkaRespErr) -> Option<RDKafkaErrorCode> {
    (error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| error.into())
}

/// Reads a list that librdkafka filled; rdkafka's own accessors panic on metadata of other
/// clients that is not UTF-8.
pub(crate) fn read_list(list: &TopicPartitionList) -> Vec<ListedOffset> {
    // SAFETY: the list is valid and lives through the call.
    unsafe { listed(list.ptr()) }
}

/// Copies a list.
///
/// # Safety
/// `list` is null or a valid list.
unsafe fn listed(list: *const sys::rd_kafka_topic_partition_list_t) -> Vec<ListedOffset> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: a valid list has `cnt` elements with NUL-terminated topics and metadata of the size
    // told.
    unsafe {
        let elements = match usize::try_from((*list).cnt) {
            Ok(count) if count > 0 => std::slice::from_raw_parts((*list).elems, count),
            _ => &[],
        };
        elements
            .iter()
            .map(|element| ListedOffset {
                topic: text(element.topic),
                partition: element.partition,
                offset: element.offset,
                metadata: bytes(element.metadata, element.metadata_size)
                    .map_or_else(String::new, |text| {
                        String::from_utf8_lossy(text).into_owned()
                    }),
                error: code(element.err),
            })
            .collect()
    }
}

/// The newest log bounds that fetching has shown, without asking the broker: first offset and
/// the one behind the last.
pub(crate) fn cached_watermarks<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
) -> Option<(i64, i64)> {
    let topic = CString::new(topic).ok()?;
    let (mut low, mut high) = (0, 0);
    // SAFETY: client and topic live through the call, which writes the two numbers.
    let got = unsafe {
        sys::rd_kafka_get_watermark_offsets(
            consumer.client().native_ptr(),
            topic.as_ptr(),
            partition,
            &mut low,
            &mut high,
        )
    };
    (code(got).is_none() && low >= 0 && high >= 0).then_some((low, high))
}

/// Whether Kafka may have a record that it did not acknowledge.
pub(crate) fn is_perhaps_written(message: &BorrowedMessage<'_>) -> bool {
    // SAFETY: the message lives through the call.
    let status = unsafe { sys::rd_kafka_message_status(message.ptr()) };
    !matches!(
        status,
        sys::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED
    )
}

/// Tells a client of brokers that it may not know of, comma separated.
pub(crate) fn add_brokers<C: rdkafka::ClientContext>(
    client: &rdkafka::client::Client<C>,
    servers: &CStr,
) {
    // SAFETY: client and text live through the call, which copies the text.
    unsafe { sys::rd_kafka_brokers_add(client.native_ptr(), servers.as_ptr()) };
}

/// Does to a producer what a sequence of its records that Kafka does not know would do.
#[cfg(test)]
pub(crate) fn raise_fatal_error<C: rdkafka::ClientContext>(client: &rdkafka::client::Client<C>) {
    let code = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    // SAFETY: client and text live through the call, which copies the text.
    unsafe { sys::rd_kafka_test_fatal_error(client.native_ptr(), code, c"for a test".as_ptr()) };
}
