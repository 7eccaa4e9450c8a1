// Business rule of ServiceNow that tells casebridge of each change of a record.
//
// Table incident (or the one in company.servicenow.table), "Advanced", when "async", on insert and update, with the condition that the flag
// is set. Comments touch the record. Files need not: the polls find them. The two properties (sys_properties):
//
//   casebridge.url     https://casebridge.example/push/company
//   casebridge.secret  type "password2": the secret that push.company.secret names
(function executeRule(current) {
    var message = new sn_ws.RESTMessageV2();
    message.setEndpoint(gs.getProperty('casebridge.url'));
    message.setHttpMethod('post');
    message.setRequestHeader('Content-Type', 'application/json');
    message.setRequestHeader('X-Casebridge-Secret', gs.getProperty('casebridge.secret'));
    message.setHttpTimeout(3000);
    message.setRequestBody(JSON.stringify({ case_id: current.getUniqueValue(), user: current.getValue('sys_updated_by') }));
    try {
        message.execute();
    } catch (error) {
        gs.warn('casebridge was not told of ' + current.getDisplayValue('number'));
    }
})(current);
