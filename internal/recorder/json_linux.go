package recorder

import (
	"encoding/hex"
	"encoding/json"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// The JSON of a call. Bytes are in hexadecimal; numbers are numbers.
type (
	jsonCall struct {
		PID        int           `json:"pid"`
		TID        int           `json:"tid"`
		Arch       string        `json:"arch"`
		Call       string        `json:"call"`
		Nr         uint64        `json:"nr"`
		Socketcall bool          `json:"socketcall,omitempty"`
		Section    int           `json:"section,omitempty"`
		Args       []uint64      `json:"args,omitempty"` // of a call without messages
		Socket     *jsonFile     `json:"socket,omitempty"`
		Flags      []string      `json:"flags,omitempty"`
		Messages   []jsonMessage `json:"messages,omitempty"`
		Result     *int64        `json:"result"`
		Errno      string        `json:"errno,omitempty"`
		Unread     string        `json:"unread,omitempty"`
	}
	jsonFile struct {
		FD          int32  `json:"fd"`
		Open        *bool  `json:"open"` // null if that could not be looked up
		Kind        string `json:"kind,omitempty"`
		File        string `json:"file,omitempty"`
		FileHex     string `json:"file_hex,omitempty"` // the same, where it is not UTF-8
		Access      string `json:"access,omitempty"`
		CloseOnExec *bool  `json:"close_on_exec,omitempty"`
		Unread      string `json:"unread,omitempty"` // why something of it could not be looked up
	}
	jsonMessage struct {
		Payload  string        `json:"payload"`
		Bytes    int           `json:"bytes"`
		Recorded int           `json:"recorded"`       // bytes in payload
		Room     uint64        `json:"room,omitempty"` // of a receipt
		Name     string        `json:"name,omitempty"`
		Control  []jsonControl `json:"control"`
		Rest     string        `json:"rest,omitempty"`           // control data that is no control message
		Unread   uint64        `json:"control_unread,omitempty"` // bytes of control data that could not be read
		NoHeader bool          `json:"msghdr_unread,omitempty"`
		Flags    []string      `json:"flags,omitempty"`
		Received bool          `json:"received,omitempty"`
	}
	jsonControl struct {
		Level   string     `json:"level"`
		Type    string     `json:"type"`
		Len     uint64     `json:"len"`
		Data    string     `json:"data"`
		Padding string     `json:"padding,omitempty"`
		Files   []jsonFile `json:"files,omitempty"` // of a message the first 253, and the pidfd
		Cred    *jsonCred  `json:"cred,omitempty"`
	}
	jsonCred struct {
		PID int32 `json:"pid"`
		UID int32 `json:"uid"`
		GID int32 `json:"gid"`
	}
	jsonRaw struct {
		*jsonCall
		Entry []jsonBlob `json:"entry"`
		Exit  []jsonBlob `json:"exit,omitempty"`
	}
	jsonBlob struct {
		What    string `json:"what"`
		Message int    `json:"message"`
		Index   int    `json:"index"`
		Addr    uint64 `json:"addr"`
		Size    uint64 `json:"size"`
		Data    string `json:"data"`
	}
)

// JSON is the call as one object; with raw its memory is in it as well.
func (c *Call) JSON(raw bool) ([]byte, error) {
	call := c.json()
	if !raw {
		return json.Marshal(call)
	}
	return json.Marshal(jsonRaw{call, jsonBlobs(c.Entry), jsonBlobs(c.Exit)})
}

func (c *Call) json() *jsonCall {
	j := &jsonCall{
		PID: c.Process.PID, TID: c.Thread, Arch: c.Arch.Name, Call: c.Name(), Nr: c.Nr,
		Socketcall: c.ViaSocketcall(), Section: c.Section, Errno: c.error(),
	}
	if !c.Unfinished {
		j.Result = &c.Result
	}
	if c.Unread != nil {
		j.Unread = c.Unread.Error()
	}
	if c.sig.messages() < 0 {
		j.Args = c.Args[:c.arity()]
		return j
	}
	socket := c.jsonFile(int32(c.args[0]), false)
	j.Socket = &socket
	j.Flags = flagNames(c.flags())
	for i := range c.messages() {
		j.Messages = append(j.Messages, c.jsonMessage(i))
	}
	return j
}

func (c *Call) jsonMessage(i int) jsonMessage {
	m := jsonMessage{Control: []jsonControl{}, Received: c.sig.receives() && i < c.done(), NoHeader: c.headerUnread(i)}
	control := c.sent(i)
	if c.sig.receives() {
		m.Room = c.room(i)
		if !m.Received {
			return m
		}
		control = c.received(i)
		m.Flags = flagNames(c.receivedFlags(i))
	}
	payload, length := c.payload(i)
	m.Payload, m.Bytes, m.Recorded = hex.EncodeToString(payload), length, len(payload)
	m.Unread = c.controlUnread(i)
	m.Name = hex.EncodeToString(c.address(i))
	list, rest := parseControl(c.Arch, control)
	m.Rest = hex.EncodeToString(rest)
	for _, cmsg := range list {
		m.Control = append(m.Control, c.jsonControl(&cmsg))
	}
	return m
}

func (c *Call) jsonControl(m *Cmsg) jsonControl {
	j := jsonControl{
		Level: levelName(m.Level), Type: typeName(m.Level, m.Type), Len: m.Len,
		Data: hex.EncodeToString(m.Data), Padding: hex.EncodeToString(m.Padding),
	}
	for _, fd := range m.descriptors() {
		if fd >= 0 && c.file(fd, c.sig.receives()) == nil {
			break // the message has more than it can pass
		}
		j.Files = append(j.Files, c.jsonFile(fd, c.sig.receives()))
	}
	if m.Level == unix.SOL_SOCKET && m.Type == unix.SCM_CREDENTIALS && len(m.Data) == 12 {
		number := func(i int) int32 { return int32(order.Uint32(m.Data[4*i:])) }
		j.Cred = &jsonCred{number(0), number(1), number(2)}
	}
	return j
}

func (c *Call) jsonFile(fd int32, atExit bool) jsonFile {
	j, open := jsonFile{FD: fd}, false
	f := c.file(fd, atExit)
	if f != nil {
		open = f.Open()
		j.Kind, j.File, j.Access = f.Kind, f.Name, f.Access
		if f.Errno != 0 {
			j.Unread = errnoName(f.Errno)
		}
		if !utf8.ValidString(f.Name) {
			j.FileHex = hex.EncodeToString([]byte(f.Name))
		}
		if f.Access != "" {
			j.CloseOnExec = &f.CloseOnExec
		}
	}
	if f == nil && fd < 0 || f != nil && (open || f.Errno == 0) {
		j.Open = &open
	}
	return j
}

func jsonBlobs(blobs []Blob) []jsonBlob {
	list := make([]jsonBlob, 0, len(blobs))
	for _, b := range blobs {
		list = append(list, jsonBlob{b.What.String(), b.Msg, b.Index, b.Addr, b.Size, hex.EncodeToString(b.Data)})
	}
	return list
}
