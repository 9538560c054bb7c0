package handler

import (
	"reflect"

	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/protocol"
)

// errorCodes is where the responses of one api have their error codes (AbstractResponse.errorCounts). It is found once,
// from the type; looking at a response then allocates nothing.
type errorCodes struct {
	root     *codePlan
	topUntil int16 // newest version that has the code outside of all lists
}

// codePlan is where a struct has error codes: fields, and fields that are lists of structs that have some.
type codePlan struct {
	codes []int
	lists []codeList
}

type codeList struct {
	field int
	plan  *codePlan
}

// movedInto are the apis whose outermost error code has moved into lists, with the last version before.
var movedInto = map[protocol.APIKey]int16{protocol.OffsetFetch: 7, protocol.FindCoordinator: 3}

func errorCodesOf(key int16) *errorCodes {
	c := &errorCodes{root: planOf(reflect.TypeOf(kmsg.ResponseForKey(key)).Elem()), topUntil: 1<<15 - 1}
	if until, moved := movedInto[protocol.APIKey(key)]; moved {
		c.topUntil = until
	}
	return c
}

func planOf(t reflect.Type) *codePlan {
	p := new(codePlan)
	for i := range t.NumField() {
		f := t.Field(i)
		switch {
		case f.Type.Kind() == reflect.Int16 && (f.Name == "ErrorCode" || f.Name == "AcknowledgeErrorCode"):
			p.codes = append(p.codes, i)
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
			if inner := planOf(f.Type.Elem()); len(inner.codes)+len(inner.lists) > 0 {
				p.lists = append(p.lists, codeList{i, inner})
			}
		}
	}
	return p
}

// each calls f with every error code of a response, in its order.
func (c *errorCodes) each(response kmsg.Response, f func(code int16)) {
	v := reflect.ValueOf(response).Elem()
	if response.GetVersion() <= c.topUntil {
		c.root.fields(v, f)
	}
	c.root.inLists(v, f)
}

func (p *codePlan) fields(v reflect.Value, f func(int16)) {
	for _, i := range p.codes {
		f(int16(v.Field(i).Int()))
	}
}

func (p *codePlan) inLists(v reflect.Value, f func(int16)) {
	for _, l := range p.lists {
		list := v.Field(l.field)
		for i := range list.Len() {
			element := list.Index(i)
			l.plan.fields(element, f)
			l.plan.inLists(element, f)
		}
	}
}
