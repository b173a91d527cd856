// Command sluice-consumer reads Kafka topics through Sluice: every record at least once, none lost.
//
// Standard library only. Put your own work into process.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is your work. The batch is committed once it has returned for all of its records.
func process(record Record) error {
	_, err := fmt.Printf("%s[%d]@%d %s\n", record.Topic, record.Partition, record.Offset, text(record.Value))
	return err
}

// Record is one Kafka record. Key and Value are nil for a Kafka null.
type Record struct {
	Topic         string             `json:"topic"`
	Partition     int32              `json:"partition"`
	Offset        int64              `json:"offset"`
	Timestamp     int64              `json:"timestamp"`
	Key           *string            `json:"key"`
	Value         *string            `json:"value"`
	KeyEncoding   string             `json:"key_encoding"`   // "base64" if the key is not UTF-8
	ValueEncoding string             `json:"value_encoding"` // likewise
	Headers       map[string]*string `json:"headers"`
}

// errSessionLost says that the session must be opened anew; reading then goes on at the committed
// offsets.
var errSessionLost = errors.New("session lost")

type consumer struct {
	url, group, topics, id string
	stopAfter              int
	stopIdle               time.Duration

	consumed   int
	lastRecord time.Time
}

// run reads until ctx ends, which stops a poll that waits, and pauses, but no commit.
func (c *consumer) run(ctx context.Context) error {
	defer c.close()
	c.lastRecord = time.Now()
	for {
		generation, err := c.open(ctx)
		if err == nil {
			err = c.read(ctx, generation)
		}
		switch {
		case errors.Is(err, errSessionLost):
			log.Printf("opening the session anew: %v", err)
		case errors.Is(err, context.Canceled):
			return nil
		default:
			return err
		}
	}
}

func (c *consumer) open(ctx context.Context) (generation int, err error) {
	// A session that an earlier run left behind goes on where that run stopped reading. This run
	// wants to go on where it stopped committing, so it begins with a new one.
	err = c.call(ctx, request{method: "DELETE", path: c.path("")}, nil)
	var problem *Problem
	if errors.As(err, &problem) && problem.Status == http.StatusNotFound {
		err = nil
	}
	if err != nil {
		return 0, err
	}
	subscribe := map[string]any{
		"consumer_id":       c.id,
		"group_id":          c.group,
		"topics":            strings.Split(c.topics, ","),
		"auto_offset_reset": "earliest",
	}
	var session struct {
		Assignment map[string][]int32 `json:"assignment"`
		Generation int                `json:"generation"`
	}
	err = c.call(ctx, request{method: "POST", path: "/api/consumers/subscribe", body: subscribe}, &session)
	if err != nil {
		return 0, err
	}
	log.Printf("reading %v", session.Assignment)
	return session.Generation, nil
}

func (c *consumer) read(ctx context.Context, generation int) error {
	after := "" // the cursor of the last answer that has arrived
	for ctx.Err() == nil {
		answer, err := c.poll(ctx, after)
		if err != nil {
			return err
		}
		if answer.Generation != generation {
			// Partitions have come or gone: forget whatever you keep by partition.
			generation = answer.Generation
			log.Printf("the assignment has changed, generation %d", generation)
		}
		for _, record := range answer.Records {
			if err := process(record); err != nil {
				return err
			}
			c.consumed++
		}
		if len(answer.Records) > 0 {
			if err := c.commit(ctx, answer.Cursor); err != nil {
				return err
			}
			c.lastRecord = time.Now()
		}
		after = answer.Cursor
		idle := time.Since(c.lastRecord)
		if c.stopAfter > 0 && c.consumed >= c.stopAfter || c.stopIdle > 0 && idle >= c.stopIdle {
			return nil
		}
	}
	return nil
}

type answer struct {
	Records    []Record `json:"records"`
	Cursor     string   `json:"cursor"`
	Generation int      `json:"generation"`
}

func (c *consumer) poll(ctx context.Context, after string) (answer answer, err error) {
	wait := 20 * time.Second
	if c.stopIdle > 0 {
		wait = min(wait, c.stopIdle)
	}
	body := map[string]any{"timeout_ms": wait.Milliseconds()}
	if after != "" {
		body["after"] = after
	}
	err = c.call(ctx, request{
		method:        "POST",
		path:          c.path("/consume"),
		body:          body,
		timeout:       wait + 10*time.Second,
		once:          after == "",
		interruptible: true,
	}, &answer)
	return answer, err
}

func (c *consumer) commit(ctx context.Context, cursor string) error {
	body := map[string]any{"cursor": cursor}
	err := c.call(ctx, request{method: "POST", path: c.path("/commit"), body: body}, nil)
	var problem *Problem
	if errors.As(err, &problem) && problem.Code == "partition_not_assigned" {
		// All these partitions have moved to other members, which read the records again.
		log.Print("not committed, the partitions have moved")
		return nil
	}
	return err
}

func (c *consumer) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := c.send(ctx, request{method: "DELETE", path: c.path("")}, nil)
	var problem *Problem
	if errors.As(err, &problem) && problem.Status == http.StatusNotFound {
		return // it has ended already
	}
	if err != nil {
		log.Printf("the session was not closed and will expire: %v", err)
	}
}

func (c *consumer) path(rest string) string { return "/api/consumers/" + c.id + rest }

type request struct {
	method, path  string
	body          any
	timeout       time.Duration // 40 s if not set
	once          bool          // see call
	interruptible bool          // whether the end of the program ends this request too
}

// call sends a request until it is answered for good, and decodes the answer into `into`.
//
// Everything here may be repeated: subscribe names its session, polls and commits a cursor. Only a
// poll without a cursor may not, since records of a lost answer would not come again: it is sent
// once.
func (c *consumer) call(ctx context.Context, r request, into any) error {
	if r.timeout == 0 {
		r.timeout = 40 * time.Second
	}
	parent := context.WithoutCancel(ctx)
	if r.interruptible {
		parent = ctx
	}
	pause := 200 * time.Millisecond
	for {
		limited, cancel := context.WithTimeout(parent, r.timeout)
		err := c.send(limited, r, into)
		cancel()

		wait := time.Duration(float64(pause) * (0.5 + rand.Float64()/2))
		var problem *Problem
		if errors.As(err, &problem) {
			if problem.Code == "consumer_not_found" && r.method != "DELETE" {
				return fmt.Errorf("%w: %w", errSessionLost, err)
			}
			if !problem.transient() {
				return err
			}
			wait = max(wait, problem.RetryAfter)
		}
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case r.once:
			return fmt.Errorf("%w: %w", errSessionLost, err)
		}
		log.Printf("%s %s failed, will be repeated: %v", r.method, r.path, err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		pause = min(2*pause, 10*time.Second)
	}
}

func (c *consumer) send(ctx context.Context, r request, into any) error {
	var body io.Reader
	if r.body != nil {
		encoded, err := json.Marshal(r.body)
		if err != nil {
			return err
		}
		body = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, r.method, c.url+r.path, body)
	if err != nil {
		return err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		return newProblem(response, raw)
	}
	if into == nil || len(raw) == 0 {
		return nil
	}
	return json.Unmarshal(raw, into)
}

// Problem is an error answer of Sluice.
type Problem struct {
	Status     int
	Code       string // empty if something between here and Sluice answered
	Detail     string
	RetryAfter time.Duration
}

func newProblem(response *http.Response, raw []byte) *Problem {
	var body struct{ Code, Detail string }
	if json.Unmarshal(raw, &body) != nil {
		body.Detail = string(raw)
	}
	seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
	return &Problem{response.StatusCode, body.Code, body.Detail, time.Duration(seconds) * time.Second}
}

func (p *Problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Code, p.Detail) }

func (p *Problem) transient() bool {
	switch p.Status {
	case 429, 500, 502, 503, 504:
		return true
	}
	return false
}

func text(value *string) string {
	if value == nil {
		return "null"
	}
	return *value
}

func main() {
	var c consumer
	flag.StringVar(&c.url, "url", "http://localhost:8080", "where Sluice is")
	flag.StringVar(&c.group, "group", "example-go", "the consumer group")
	flag.StringVar(&c.topics, "topics", "orders,events", "comma separated")
	flag.StringVar(&c.id, "id", "example-go-1", "names this instance, over its restarts and among its peers")
	flag.IntVar(&c.stopAfter, "stop-after", 0, "stop once so many records or more were consumed")
	idle := flag.Float64("stop-idle", 0, "stop after so many seconds without a record")
	flag.Parse()
	c.stopIdle = time.Duration(*idle * float64(time.Second))

	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := c.run(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("consumed %d records\n", c.consumed)
}
