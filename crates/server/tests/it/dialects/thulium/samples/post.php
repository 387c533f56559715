<?php
$data =
'{"actions":["CHAT_CONVERSATION_CREATED"],"subscription_url":"https:\/\/example.pl"}';

$request = curl_init('https://your-system-name.thulium.com/api/webhooks');
curl_setopt($request, CURLOPT_HTTPHEADER, array(

'Content-Type: application/json; charset=utf-8',

'Content-Length: ' . mb_strlen($data)
));
curl_setopt($request, CURLOPT_USERPWD, 'api_user:api_pass');
curl_setopt($request, CURLOPT_TIMEOUT, 30);
curl_setopt($request, CURLOPT_RETURNTRANSFER, true);
curl_setopt($request, CURLOPT_CUSTOMREQUEST, 'POST');
curl_setopt($request, CURLOPT_POSTFIELDS, $data);

$response = curl_exec($request);
if (
$response) {

$httpCode = curl_getinfo($request, CURLINFO_HTTP_CODE);
    if (
$httpCode == 200){

print_r(json_decode($response));
    } else {
        echo
$response;
    }
} else {

trigger_error(curl_error($request), E_USER_WARNING);
}

curl_close($request);
