package topics

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Error is a refusal that the client is told: a Kafka error and the reason in words.
type Error struct {
	Kafka  *kerr.Error
	Reason string
}

// Error gives both.
func (e *Error) Error() string { return e.Kafka.Message + ": " + e.Reason }

func refuse(kafka *kerr.Error, format string, args ...any) error {
	return &Error{kafka, fmt.Sprintf(format, args...)}
}

// Code splits an error of this package into what a response carries. Anything
// that is no refusal is our own trouble: UNKNOWN_SERVER_ERROR, with its text.
func Code(err error) (code int16, message *string) {
	if err == nil {
		return 0, nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kafka.Code, &e.Reason
	}
	text := err.Error()
	return kerr.UnknownServerError.Code, &text
}

// IsRefusal tells whether the client asked for something that cannot be, as
// opposed to machinery that broke.
func IsRefusal(err error) bool {
	var e *Error
	return errors.As(err, &e)
}
