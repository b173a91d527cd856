// Command producer writes records to a Kafka topic through Sluice: each at least once, none lost.
//
// Standard library only. Put your own records into record.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"time"
)

// Of a record: it was not written, or may not have been. Sent again, it may be there twice.
var again = map[string]bool{
	"outcome_unknown": true, "kafka_timeout": true, "kafka_unavailable": true, "queue_full": true,
}

// Of a request that says nothing of its records.
var transient = map[int]bool{429: true, 500: true, 502: true, 503: true, 504: true}

// record is your work. The id in the header stays the same when a record is sent again, so that
// readers can tell a repetition.
func record(number int) Record {
	return Record{
		Key:     fmt.Sprintf("user-%d", number%100),
		Value:   map[string]any{"number": number, "event": "login"},
		Headers: map[string]string{"id": fmt.Sprintf("login-%d", number)},
	}
}

// Record is one record to be written.
type Record struct {
	Key     string            `json:"key"`
	Value   any               `json:"value"`
	Headers map[string]string `json:"headers"`
}

// Entry says what became of a record.
type Entry struct {
	Partition int32  `json:"partition"`
	Offset    *int64 `json:"offset"`
	Error     *struct {
		Code   string `json:"code"`
		Detail string `json:"detail"`
	} `json:"error"`
}

// Producer writes to one topic.
type Producer struct {
	url  string
	http http.Client
}

// Send writes records and returns where they are, in their order.
func (p *Producer) Send(batch []Record) ([]Entry, error) {
	places := make([]Entry, len(batch))
	missing := make([]int, len(batch))
	for index := range batch {
		missing[index] = index
	}
	for tries := 1; len(missing) > 0; tries++ {
		part := make([]Record, len(missing))
		for at, index := range missing {
			part[at] = batch[index]
		}
		entries, wait, err := p.post(part)
		if err != nil {
			return nil, err
		}
		var left []int
		for at, index := range missing {
			// Without entries nothing is known of any record.
			if at >= len(entries) {
				left = append(left, index)
			} else if failed := entries[at].Error; failed == nil {
				places[index] = entries[at]
			} else if again[failed.Code] {
				left = append(left, index)
			} else {
				return nil, fmt.Errorf("record %d: %s: %s", index, failed.Code, failed.Detail)
			}
		}
		missing = left
		if len(missing) > 0 {
			if wait == 0 {
				most := min(10*time.Second, 100*time.Millisecond<<min(tries, 10))
				wait = most/2 + rand.N(most/2)
			}
			log.Printf("%d records again in %s", len(missing), wait)
			time.Sleep(wait)
		}
	}
	return places, nil
}

// post sends one request. It returns an entry a record, or none if nothing is known of them, and
// how long to wait before another; an error if sending again does not help.
func (p *Producer) post(batch []Record) ([]Entry, time.Duration, error) {
	body, err := json.Marshal(map[string]any{"records": batch})
	if err != nil {
		return nil, 0, err
	}
	response, err := p.http.Post(p.url, "application/json", bytes.NewReader(body))
	if err != nil {
		log.Printf("no answer: %v", err)
		return nil, 0, nil
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		log.Printf("half an answer: %v", err)
		return nil, 0, nil
	}
	var answer struct {
		Offsets []Entry `json:"offsets"`
		Detail  string  `json:"detail"`
	}
	answer.Detail = string(text) // stays so if something between here and Sluice answered
	_ = json.Unmarshal(text, &answer)
	seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
	wait := time.Duration(seconds) * time.Second
	// In an error too: then none was written, and each record has its own cause.
	known := len(answer.Offsets) == len(batch)
	if known || response.StatusCode == http.StatusOK || transient[response.StatusCode] {
		return answer.Offsets, wait, nil
	}
	return nil, 0, fmt.Errorf("%s: %s", response.Status, answer.Detail)
}

func main() {
	url := flag.String("url", "http://localhost:8080", "where Sluice is")
	topic := flag.String("topic", "events", "where to write")
	count := flag.Int("count", 1000, "how many records")
	most := flag.Int("batch", 100, "records a request")
	flag.Parse()
	log.SetFlags(0)
	producer := Producer{
		// Keys as other programs write them, values as JSON.
		url: fmt.Sprintf("%s/api/topics/%s/produce?key.format=string", *url, *topic),
		// Longer than any request takes, or answers on their way would be thrown away.
		http: http.Client{Timeout: 40 * time.Second},
	}
	for first := 0; first < *count; first += *most {
		var batch []Record
		for number := first; number < min(first+*most, *count); number++ {
			batch = append(batch, record(number))
		}
		places, err := producer.Send(batch)
		if err != nil {
			log.Print(err)
			os.Exit(1)
		}
		for _, place := range places {
			if place.Offset != nil {
				fmt.Printf("%s[%d]@%d\n", *topic, place.Partition, *place.Offset)
			}
		}
	}
	fmt.Printf("produced %d records\n", *count)
}
