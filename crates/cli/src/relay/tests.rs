use super::wire::{Framed, Opening, message, notice, read_opening, startup};

fn startup_bytes(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut body = 196_608_u32.to_be_bytes().to_vec();
    for (name, value) in pairs {
        body.extend(name.bytes().chain([0]).chain(value.bytes()).chain([0]));
    }
    body.push(0);
    let len = u32::try_from(body.len() + 4).unwrap();
    [len.to_be_bytes().to_vec(), body].concat()
}

async fn opening(bytes: &[u8]) -> (std::io::Result<Opening>, Vec<u8>) {
    let (mut near, mut far) = tokio::io::duplex(1 << 16);
    tokio::io::AsyncWriteExt::write_all(&mut far, bytes).await.unwrap();
    tokio::io::AsyncWriteExt::shutdown(&mut far).await.unwrap();
    let opening = read_opening(&mut near).await;
    drop(near);
    let mut answer = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut far, &mut answer).await.unwrap();
    (opening, answer)
}

#[tokio::test]
async fn offers_of_encryption_are_declined_and_the_user_is_replaced() {
    let mut bytes = super::wire::SSL_REQUEST.to_vec();
    bytes.extend(startup_bytes(&[("user", "root"), ("database", "root"), ("application_name", "psql")]));
    let (opened, answer) = opening(&bytes).await;
    assert_eq!(answer, b"N");
    let Ok(Opening::Start(parameters)) = opened else { panic!("{opened:?}") };
    let packet = startup(&parameters, "prod-orders", "orders");
    assert_eq!(
        packet,
        startup_bytes(&[("user", "prod-orders"), ("application_name", "psql"), ("database", "orders")])
    );
}

#[tokio::test]
async fn a_named_database_stays() {
    let (opened, _) = opening(&startup_bytes(&[("user", "root"), ("database", "reports")])).await;
    let Ok(Opening::Start(parameters)) = opened else { panic!("{opened:?}") };
    assert_eq!(startup(&parameters, "r", "orders"), startup_bytes(&[("user", "r"), ("database", "reports")]));
}

#[tokio::test]
async fn a_cancel_is_passed_on_whole() {
    let packet = [&[0, 0, 0, 16, 4, 210, 22, 46][..], &[1, 2, 3, 4, 5, 6, 7, 8]].concat();
    let (opened, _) = opening(&packet).await;
    assert_eq!(opened.unwrap(), Opening::Cancel(packet));
}

#[tokio::test]
async fn hostile_openings_end_the_connection() {
    for bytes in
        [&[0xff; 64][..], &[0, 0, 0, 4, 0], &[0, 0, 0, 8, 0, 2, 0, 0], &[0x16, 3, 1, 0, 200, 1, 0, 0]]
    {
        assert!(opening(bytes).await.0.is_err(), "{bytes:?}");
    }
}

#[test]
fn framing_agrees_with_itself_however_the_bytes_arrive() {
    let stream = [message(b'T', &[7; 300]), notice("hello"), message(b'Z', b"I")].concat();
    for chunk in 1..40 {
        let (mut framed, mut pending, mut out, mut boundaries) =
            (Framed::default(), Vec::new(), Vec::new(), 0);
        for piece in stream.chunks(chunk) {
            pending.extend_from_slice(piece);
            let whole = framed.advance(&pending).unwrap();
            out.extend(pending.drain(..whole));
            boundaries += usize::from(framed.between_messages() && pending.is_empty());
        }
        assert_eq!(out, stream, "chunks of {chunk}");
        assert!(framed.between_messages() && boundaries >= 1);
    }
    assert!(Framed::default().advance(&[b'D', 0, 0, 0, 3]).is_err());
}
