(* Peer for ExtUnix's sendmsg and recvmsg_fd, which pass at most one descriptor and take
   no flags. The contract is interop/peers/README.md. *)

exception Unsupported

let payload_max = 64 lsl 20
let int_max = 0x7fffffff
let int_min = -int_max - 1

(* recvmsg_fd always receives with this capacity. *)
let hello =
  "ok name=extunix lang=ocaml can=stream,dgram,seqpacket room=4096,1 version=" ^ Version.extunix

(* On Unix a file_descr is the descriptor itself. OCaml has no conversion. *)
external file_descr : int -> Unix.file_descr = "%identity"
external descriptor : Unix.file_descr -> int = "%identity"

let unsupported_unless condition = if not condition then raise Unsupported

let items = function
  | "-" -> []
  | text -> String.split_on_char ',' text

(* Accepts an integer only as it would be printed. int_of_string also accepts 03, 0x3 and 1_0. *)
let integer ?(least = 0) most text =
  match int_of_string_opt text with
  | Some n when string_of_int n = text && least <= n && n <= most -> n
  | _ -> raise Unsupported

let integers ?least text = List.map (integer ?least int_max) (items text)

let hexadecimal data =
  String.to_seq data
  |> Seq.map (fun byte -> Printf.sprintf "%02x" (Char.code byte))
  |> List.of_seq |> String.concat ""

let bytes_of_hexadecimal text =
  let digit = function '0' .. '9' | 'a' .. 'f' -> true | _ -> false in
  unsupported_unless (text <> "" && String.length text mod 2 = 0 && String.for_all digit text);
  let byte i = Char.chr (int_of_string ("0x" ^ String.sub text (2 * i) 2)) in
  String.init (String.length text / 2) byte

let buffer text ~at =
  if text = "-" then ""
  else if String.length text > 0 && text.[0] = '@' then
    let count = integer payload_max (String.sub text 1 (String.length text - 1)) in
    let () = unsupported_unless (count > 0) in
    String.init count (fun i -> Char.chr (((at mod 251) + i) mod 251))
  else bytes_of_hexadecimal text

let sock = ref None

(* The descriptors that were given or received, and are still open. *)
let held : (int, unit) Hashtbl.t = Hashtbl.create 16
let hold fd = Hashtbl.replace held fd ()

let close fds =
  let fds = List.sort_uniq compare fds in
  unsupported_unless (List.for_all (Hashtbl.mem held) fds);
  List.iter
    (fun fd ->
      Hashtbl.remove held fd;
      Unix.close (file_descr fd))
    fds

let finish () =
  close (List.of_seq (Hashtbl.to_seq_keys held));
  sock := None

let opened () =
  match !sock with
  | Some fd when Hashtbl.mem held fd -> file_descr fd
  | _ -> raise Unsupported

(* Takes the named values out of the fields, and requires that nothing else is left. *)
let values names optional fields =
  let known (key, _) = List.mem key names || List.mem_assoc key optional in
  let keys = List.map fst fields in
  unsupported_unless (List.for_all known fields && List.sort_uniq compare keys = List.sort compare keys);
  let value default key =
    match List.assoc_opt key fields with
    | Some text -> text
    | None -> default key
  in
  List.map (value (fun _ -> raise Unsupported)) names
  @ List.map (fun (key, default) -> value (fun _ -> default) key) optional

let send payload fds at =
  let data = buffer payload ~at:(integer max_int at) in
  (match integers ~least:int_min fds with
  | [] -> ExtUnix.All.sendmsg (opened ()) data
  | [ fd ] -> ExtUnix.All.sendmsg (opened ()) ~sendfd:(file_descr fd) data
  | _ -> raise Unsupported);
  (* sendmsg does not return how many bytes the kernel took. *)
  Printf.sprintf "ok n=%d" (String.length data)

let recv bytes room at =
  let _ = (integer payload_max bytes, integer 65_535 room, integer max_int at) in
  let received, data = ExtUnix.All.recvmsg_fd (opened ()) in
  let fds =
    match received with
    | None -> "-"
    | Some fd ->
        hold (descriptor fd);
        string_of_int (descriptor fd)
  in
  let payload = if data = "" then "-" else hexadecimal data in
  Printf.sprintf "ok n=%d payload=%s fds=%s" (String.length data) payload fds

let field word =
  match String.index_opt word '=' with
  | None -> raise Unsupported
  | Some i -> (String.sub word 0 i, String.sub word (i + 1) (String.length word - i - 1))

let perform line =
  let words = String.split_on_char ' ' line in
  let fields = List.map field (List.tl words) in
  let message = [ ("at", "0"); ("flags", "-") ] in
  match (List.hd words, fields) with
  | "hello", [] -> hello
  | "use", _ -> (
      match values [ "sock" ] [ ("fds", "-") ] fields with
      | [ socket; fds ] ->
          let socket = integer int_max socket and fds = integers fds in
          finish ();
          sock := Some socket;
          List.iter hold (socket :: fds);
          "ok"
      | _ -> raise Unsupported)
  | "send", _ -> (
      match values [ "payload"; "fds" ] message fields with
      | [ payload; fds; at; "-" ] -> send payload fds at
      | _ -> raise Unsupported)
  | "recv", _ -> (
      match values [ "bytes"; "fds" ] message fields with
      | [ bytes; room; at; "-" ] -> recv bytes room at
      | _ -> raise Unsupported)
  | "close", [ ("fds", fds) ] ->
      close (integers fds);
      "ok"
  | "end", [] ->
      finish ();
      "ok"
  | _ -> raise Unsupported

(* Unix's printer is the only way to the name of an error: "Unix.Unix_error(Unix.EBADF, …". *)
let error_name error =
  Scanf.sscanf (Printexc.to_string error) "Unix.Unix_error(Unix.%s@," Fun.id

let answer line =
  match perform line with
  | text -> text
  | exception Unsupported -> "unsupported"
  | exception Unix.Unix_error (Unix.EUNKNOWNERR errno, _, _) -> Printf.sprintf "err %d" errno
  (* ExtUnix's own errors are EINVAL with a text. *)
  | exception Unix.Unix_error (Unix.EINVAL, _, text) when text <> "" -> "err lib " ^ text
  | exception (Unix.Unix_error _ as error) -> "err " ^ error_name error

let () =
  Sys.set_signal Sys.sigpipe Sys.Signal_ignore;
  try
    while true do
      print_endline (answer (input_line stdin))
    done
  with End_of_file -> ()
