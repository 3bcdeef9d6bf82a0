package recorder

import (
	"encoding/hex"
	"encoding/json"
	"unicode/utf8"
)

// The JSON objects of a call. Bytes are strings of hexadecimal digits.
type (
	jsonCall struct {
		PID        int           `json:"pid"`
		TID        int           `json:"tid"`
		Arch       string        `json:"arch"`
		Call       string        `json:"call"`
		Nr         uint64        `json:"nr"`
		Socketcall bool          `json:"socketcall,omitempty"`
		Socket     *jsonFile     `json:"socket,omitempty"`
		Flags      []string      `json:"flags,omitempty"`
		Messages   []jsonMessage `json:"messages,omitempty"`
		Result     *int64        `json:"result"`
		Errno      string        `json:"errno,omitempty"`
		Unread     string        `json:"unread,omitempty"`
	}
	jsonFile struct {
		FD          int32  `json:"fd"`
		Open        *bool  `json:"open"` // null if it could not be looked up
		Kind        string `json:"kind,omitempty"`
		File        string `json:"file,omitempty"`
		FileHex     string `json:"file_hex,omitempty"` // the name in hexadecimal, if it is not UTF-8
		Access      string `json:"access,omitempty"`
		CloseOnExec *bool  `json:"close_on_exec,omitempty"`
		Unread      string `json:"unread,omitempty"` // the errno if something could not be looked up
	}
	jsonMessage struct {
		Payload  string        `json:"payload"`
		Bytes    int           `json:"bytes"`
		Recorded int           `json:"recorded"`       // bytes in payload
		Room     uint64        `json:"room,omitempty"` // of a call that receives
		Name     string        `json:"name,omitempty"`
		Control  []jsonControl `json:"control"`
		// control data after the last well-formed control message
		Rest     string   `json:"rest,omitempty"`
		Unread   uint64   `json:"control_unread,omitempty"` // bytes of control data that could not be read
		NoHeader bool     `json:"msghdr_unread,omitempty"`
		Flags    []string `json:"flags,omitempty"`
		Received bool     `json:"received,omitempty"`
	}
	jsonControl struct {
		Level   string     `json:"level"`
		Type    string     `json:"type"`
		Len     uint64     `json:"len"`
		Data    string     `json:"data"`
		Padding string     `json:"padding,omitempty"`
		Files   []jsonFile `json:"files,omitempty"` // at most the first 253 of a message, and the pidfd
		Cred    *jsonCred  `json:"cred,omitempty"`
	}
	jsonCred struct {
		PID int32 `json:"pid"`
		UID int32 `json:"uid"`
		GID int32 `json:"gid"`
	}
	jsonRaw struct {
		*jsonCall
		Entry []jsonMemory `json:"entry"`
		Exit  []jsonMemory `json:"exit,omitempty"`
	}
	jsonMemory struct {
		Kind    string `json:"what"`
		Message int    `json:"message"`
		Index   int    `json:"index"`
		Addr    uint64 `json:"addr"`
		Size    uint64 `json:"size"`
		Data    string `json:"data"`
	}
)

// JSON returns the call as one object. With raw it includes the memory.
func (c *Call) JSON(raw bool) ([]byte, error) {
	call := c.json()
	if !raw {
		return json.Marshal(call)
	}
	return json.Marshal(jsonRaw{call, jsonMemories(c.Entry.memory()), jsonMemories(c.Exit.memory())})
}

func (c *Call) json() *jsonCall {
	j := &jsonCall{
		PID: c.Process.PID, TID: c.Thread, Arch: c.Arch.Name, Call: c.Name(), Nr: c.Nr,
		Socketcall: c.ViaSocketcall(), Errno: c.errorName(),
	}
	if !c.Unfinished {
		j.Result = &c.Result
	}
	if c.Unread != nil {
		j.Unread = c.Unread.Error()
	}
	socket := c.jsonFile(c.socket(), false)
	j.Socket = &socket
	j.Flags = flagNames(c.flags())
	for i := range c.Entry.Messages {
		j.Messages = append(j.Messages, c.jsonMessage(i))
	}
	return j
}

func (c *Call) jsonMessage(i int) jsonMessage {
	entry := &c.Entry.Messages[i]
	j := jsonMessage{Control: []jsonControl{}, Received: c.received(i), NoHeader: entry.headerUnread()}
	if c.receives() {
		j.Room = entry.capacity()
		if !j.Received {
			return j
		}
	}
	m := c.message(i)
	if j.Received {
		j.Flags = flagNames(m.ReceivedFlags)
	}
	payload, length := m.payload()
	j.Payload, j.Bytes, j.Recorded = hex.EncodeToString(payload), length, len(payload)
	j.Unread = m.Control.unread()
	j.Name = hex.EncodeToString(m.Address.used())
	j.Rest = hex.EncodeToString(m.Control.Rest)
	for i := range m.Control.Cmsgs {
		j.Control = append(j.Control, c.jsonControl(&m.Control.Cmsgs[i]))
	}
	return j
}

func (c *Call) jsonControl(m *Cmsg) jsonControl {
	j := jsonControl{
		Level: levelName(m.Level), Type: typeName(m.Level, m.Type), Len: m.Len,
		Data: hex.EncodeToString(m.Data), Padding: hex.EncodeToString(m.Padding),
	}
	for _, fd := range m.FDs {
		if fd >= 0 && c.file(fd, c.receives()) == nil {
			break // the message contains more descriptors than the kernel passes
		}
		j.Files = append(j.Files, c.jsonFile(fd, c.receives()))
	}
	if cred, ok := m.credentials(); ok {
		j.Cred = &jsonCred{cred.PID, cred.UID, cred.GID}
	}
	return j
}

func (c *Call) jsonFile(fd int32, atExit bool) jsonFile {
	if f := c.file(fd, atExit); f != nil {
		return f.json()
	}
	j := jsonFile{FD: fd}
	if fd < 0 {
		j.Open = new(bool)
	}
	return j
}

func (f *File) json() jsonFile {
	j := jsonFile{FD: f.FD, Kind: f.Kind, File: f.Name, Access: f.Access}
	if f.Errno != 0 {
		j.Unread = errnoName(f.Errno)
	}
	if !utf8.ValidString(f.Name) {
		j.FileHex = hex.EncodeToString([]byte(f.Name))
	}
	if f.Access != "" {
		j.CloseOnExec = &f.CloseOnExec
	}
	if open := f.Open(); open || f.Errno == 0 {
		j.Open = &open
	}
	return j
}

func jsonMemories(memory []*Memory) []jsonMemory {
	list := make([]jsonMemory, 0, len(memory))
	for _, m := range memory {
		list = append(list, jsonMemory{m.Kind.String(), m.Message, m.Iovec, m.Addr, m.Size, hex.EncodeToString(m.Data)})
	}
	return list
}
