//! The only file with `unsafe`: what librdkafka offers and rdkafka does not pass on.
//!
//! Three things: headers whose names are not UTF-8 (rdkafka panics on them), the group's member
//! id and generation, and commits whose outcome comes back on a queue of their own, per
//! partition, so that it never waits behind unread records.

use std::ffi::{CStr, CString, c_void};
use std::ptr;
use std::sync::Arc;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaRespErr;

/// The member id that the group's coordinator gave; empty while the handle is not a member.
pub(crate) fn member_id<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> String {
    let client = consumer.client().native_ptr();
    // SAFETY: `client` lives as long as `consumer`. The text returned is ours, NUL-terminated,
    // allocated by librdkafka and freed by it once, after it was copied.
    unsafe {
        let text = sys::rd_kafka_memberid(client);
        if text.is_null() {
            return String::new();
        }
        let id = CStr::from_ptr(text).to_string_lossy().into_owned();
        sys::rd_kafka_mem_free(client, text.cast());
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

/// Calls `each` with name and value of every header, in order; names are bytes as Kafka has them.
pub(crate) fn for_each_header(
    message: &BorrowedMessage<'_>,
    mut each: impl FnMut(&[u8], Option<&[u8]>),
) {
    let mut headers = ptr::null_mut();
    // SAFETY: the message outlives this call, and with it the headers, names and values that
    // librdkafka hands out; names are NUL-terminated, values have the size told (null: no value).
    unsafe {
        let found = sys::rd_kafka_message_headers(message.ptr(), &mut headers);
        if found != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return;
        }
        for index in 0.. {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            let got =
                sys::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut size);
            if got != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return;
            }
            let value =
                (!value.is_null()).then(|| std::slice::from_raw_parts(value.cast::<u8>(), size));
            each(CStr::from_ptr(name).to_bytes(), value);
        }
    }
}

/// One partition's part of a commit's outcome.
#[derive(Debug)]
pub(crate) struct PartitionOutcome {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) error: Option<RDKafkaErrorCode>,
}

/// What became of one commit.
#[derive(Debug)]
pub(crate) struct CommitOutcome {
    /// The number that the commit was sent with.
    pub(crate) number: u64,
    /// Why it failed as a whole.
    pub(crate) error: Option<RDKafkaErrorCode>,
    /// What became of each partition; may be empty if it failed as a whole.
    pub(crate) partitions: Vec<PartitionOutcome>,
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
                    partitions: outcomes(sys::rd_kafka_event_topic_partition_list(event)),
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

/// Copies per-partition outcomes out of a list.
///
/// # Safety
/// `list` is null or a valid list.
unsafe fn outcomes(list: *mut sys::rd_kafka_topic_partition_list_t) -> Vec<PartitionOutcome> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: a valid list has `cnt` elements with NUL-terminated topics.
    unsafe {
        let elements = match usize::try_from((*list).cnt) {
            Ok(count) if count > 0 => std::slice::from_raw_parts((*list).elems, count),
            _ => &[],
        };
        elements
            .iter()
            .map(|element| PartitionOutcome {
                topic: CStr::from_ptr(element.topic).to_string_lossy().into_owned(),
                partition: element.partition,
                error: code(element.err),
            })
            .collect()
    }
}

fn code(error: RDKafkaRespErr) -> Option<RDKafkaErrorCode> {
    (error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| error.into())
}

/// A partition of an offsets list, with what was committed for it.
#[derive(Debug)]
pub(crate) struct ListedOffset {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// Raw, negative if there is none.
    pub(crate) offset: i64,
    /// The committer's text; what is not UTF-8 is replaced.
    pub(crate) metadata: String,
    pub(crate) error: Option<RDKafkaErrorCode>,
}

/// Reads a list that librdkafka filled; rdkafka's own accessors panic on metadata of other
/// clients that is not UTF-8.
pub(crate) fn read_list(list: &TopicPartitionList) -> Vec<ListedOffset> {
    let native = list.ptr();
    // SAFETY: the list lives through the call; it has `cnt` elements with NUL-terminated topics
    // and metadata of the size told.
    unsafe {
        let elements = match usize::try_from((*native).cnt) {
            Ok(count) if count > 0 => std::slice::from_raw_parts((*native).elems, count),
            _ => &[],
        };
        elements
            .iter()
            .map(|element| ListedOffset {
                topic: CStr::from_ptr(element.topic).to_string_lossy().into_owned(),
                partition: element.partition,
                offset: element.offset,
                metadata: if element.metadata.is_null() {
                    String::new()
                } else {
                    let bytes = std::slice::from_raw_parts(
                        element.metadata.cast::<u8>(),
                        element.metadata_size,
                    );
                    String::from_utf8_lossy(bytes).into_owned()
                },
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
