package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"kanal/libs/handler"
	"kanal/services/groups/internal/coordinator"
	"kanal/services/groups/internal/group"
)

// JoinGroup, versions 0 to 9, of classic groups.
//
//	v0 the rebalance timeout is the session timeout
//	v1 rebalance timeout
//	v4 a member without an id is given one and joins again (KIP-394)
//	v5 static members (KIP-345)
//	v7 protocol type in the answer
//	v8 a reason, for the log
//	v9 the leader may be told to skip the assignment (KIP-814)
func (a *API) joinGroup(ctx context.Context, r *handler.Request) (kmsg.Response, error) {
	req := r.Body.(*kmsg.JoinGroupRequest)
	if e := a.checkJoin(req); e != nil {
		return joinResponse(req, &group.JoinAnswer{Err: e, MemberID: req.MemberID, Generation: -1}), nil
	}
	answer := group.JoinAnswer{MemberID: req.MemberID, Generation: -1}
	e, err := a.on(r, req.Group, func(c *coordinator.Coordinator) *kerr.Error {
		answer = c.Join(ctx, req.Group, a.readJoin(r, req), r.Park)
		return answer.Err
	})
	if err != nil {
		return nil, err
	}
	answer.Err = e
	return joinResponse(req, &answer), nil
}

func (a *API) checkJoin(req *kmsg.JoinGroupRequest) *kerr.Error {
	session := time.Duration(req.SessionTimeoutMillis) * time.Millisecond
	switch {
	case req.Group == "":
		return kerr.InvalidGroupID
	case session < a.settings.MinSession || session > a.settings.MaxSession:
		return kerr.InvalidSessionTimeout
	}
	return nil
}

func (a *API) readJoin(r *handler.Request, req *kmsg.JoinGroupRequest) *group.Join {
	j := &group.Join{
		MemberID: req.MemberID, InstanceID: value(req.InstanceID), ClientID: r.ClientID, ClientHost: host(r),
		Session:      time.Duration(req.SessionTimeoutMillis) * time.Millisecond,
		Rebalance:    time.Duration(req.RebalanceTimeoutMillis) * time.Millisecond,
		ProtocolType: req.ProtocolType, RequireKnownID: req.Version >= 4, CanSkip: req.Version >= 9,
	}
	if j.Rebalance <= 0 {
		j.Rebalance = j.Session
	}
	if j.NewID = r.ClientID + "-" + randomID(); j.InstanceID != "" {
		j.NewID = j.InstanceID + "-" + randomID()
	}
	for _, p := range req.Protocols {
		// Copied: the frame that it aliases is large and the member stays.
		j.Protocols = append(j.Protocols, group.Protocol{Name: p.Name, Metadata: append([]byte(nil), p.Metadata...)})
	}
	return j
}

// randomID is a random UUID in its usual form.
func randomID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails (crypto/rand, Go 1.24)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

func joinResponse(req *kmsg.JoinGroupRequest, a *group.JoinAnswer) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.JoinGroupResponse)
	resp.ErrorCode, resp.Generation, resp.MemberID = code(a.Err), a.Generation, a.MemberID
	resp.Members = []kmsg.JoinGroupResponseMember{}
	if a.Err != nil {
		return resp
	}
	resp.ProtocolType, resp.Protocol, resp.LeaderID, resp.SkipAssignment = &a.Type, &a.Protocol, a.Leader, a.Skip
	for _, m := range a.Members {
		rm := kmsg.NewJoinGroupResponseMember()
		rm.MemberID, rm.InstanceID, rm.ProtocolMetadata = m.ID, pointer(m.InstanceID), m.Metadata
		resp.Members = append(resp.Members, rm)
	}
	return resp
}
