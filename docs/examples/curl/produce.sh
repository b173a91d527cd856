#!/bin/sh
# Writes JSON documents, one a line of the standard input, to a Kafka topic through Sluice.
# Needs curl 7.82 or newer. Each answer tells where the records of its batch are.
#
#   produce.sh [URL [TOPIC [LINES-A-REQUEST]]] < documents
set -eu

url=${1:-http://localhost:8080}
topic=${2:-events}
most=${3:-100}

# Sends what is in $records. Only what was refused as a whole is repeated (--retry: 429, 503 and
# the like, after the pause that Retry-After asks for): records of a 200 with an "error" in it, and
# of a 504, are yours to look at. A 504 may repeat what was written already.
send() {
	[ "$count" -gt 0 ] || return 0
	printf '{"records":[%s]}' "$records" |
		curl --silent --show-error --fail-with-body --retry 5 --json @- \
			"$url/api/topics/$topic/produce"
	echo
	records='' count=0
}

records='' count=0
while IFS= read -r line; do
	records="$records${records:+,}{\"value\":$line}"
	count=$((count + 1))
	[ "$count" -lt "$most" ] || send
done
send
