package handler

import (
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// numberTag is the tagged field of AddPartitionsToTxn's answers by which the
// cluster's services tell each other the number of a transaction, in 4 bytes.
const numberTag = 10000

// SetTransactionNumber puts the coordinator's number of a transaction into an
// answer.
func SetTransactionNumber(r *kmsg.AddPartitionsToTxnResponseTransaction, number uint32) {
	r.UnknownTags.Set(numberTag, binary.BigEndian.AppendUint32(nil, number))
}

// TransactionNumber is what SetTransactionNumber put there.
func TransactionNumber(r *kmsg.AddPartitionsToTxnResponseTransaction) (number uint32, ok bool) {
	r.UnknownTags.Each(func(tag uint32, value []byte) {
		if tag == numberTag && len(value) == 4 {
			number, ok = binary.BigEndian.Uint32(value), true
		}
	})
	return number, ok
}
